"""What two ends agree on for one stream of media: codecs, stream ids, header extensions."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.identity import Codec, Kind

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ORIENTATION_URI = "urn:3gpp:video-orientation"

TRANSPORT_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

RECEIVED_EXTENSIONS = (MID_URI, AUDIO_LEVEL_URI, ORIENTATION_URI, TRANSPORT_CC_URI)
"""Header extensions we understand, and so accept when they are offered."""

REMB = "goog-remb"
TRANSPORT_CC = "transport-cc"
PAUSES_WANTED = "usedtx=1"
"""Opus: whoever receives with this wants nothing sent while nothing is said (RFC 7587, 6.1)."""

KNOWN_FEEDBACK = ("nack", "nack pli", "ccm fir", REMB, TRANSPORT_CC)
"""RTCP feedback we send or answer; anything else offered is left out of our answer."""


def kind_of(codec: Codec) -> Kind:
    """Which kind of media section *codec* belongs in."""
    return Kind.AUDIO if codec is Codec.OPUS else Kind.VIDEO


@dataclass(frozen=True, slots=True)
class MediaCodec:
    """One codec under one payload type."""

    payload_type: int
    codec: Codec
    rtx_payload_type: int | None = None
    """RFC 4588 retransmissions of this codec travel under this payload type."""
    feedback: tuple[str, ...] = ()
    """RTCP feedback as in `a=rtcp-fb`, for instance "nack pli"."""
    parameters: str = ""
    """Format parameters as in `a=fmtp`, without the payload type."""
    red_payload_type: int | None = None
    """RFC 2198: packets that repeat those before them travel under this payload type."""
    is_red_preferred: bool = False
    """Whether the redundant form comes first in the sender's or receiver's order."""

    @property
    def has_nack(self) -> bool:
        return "nack" in self.feedback

    @property
    def wants_pauses(self) -> bool:
        return PAUSES_WANTED in self.parameters.split(";")

    @property
    def payload_types(self) -> tuple[int, ...]:
        """All of them, in order of preference."""
        red, rtx = self.red_payload_type, self.rtx_payload_type
        order = (red, self.payload_type) if self.is_red_preferred else (self.payload_type, red)
        return tuple(number for number in (*order, rtx) if number is not None)


@dataclass(frozen=True, slots=True)
class OfferedMedia:
    """A stream we offer to send: one media section, one SSRC (and one more for RTX)."""

    mid: str
    kind: Kind
    codecs: tuple[MediaCodec, ...]
    ssrc: int
    rtx_ssrc: int | None = None
    cname: str = "mixworker"
    stream: str = "-"
    """Stream name of `a=msid`: browsers play streams of one name in lip sync."""
    extensions: Mapping[str, int] = field(default_factory=dict)
    """Header extension URI to id, 1..14."""


@dataclass(frozen=True, slots=True)
class NegotiatedMedia:
    """What came out for one media section, seen from either side.

    A section the answerer rejected has no codecs. `is_active` says whether media may flow from
    the offerer to the answerer.
    """

    mid: str
    kind: Kind
    is_active: bool
    codecs: tuple[MediaCodec, ...]
    ssrcs: tuple[int, ...] = ()
    """Media SSRCs the sender announced; empty when it announces none (MID has to do)."""
    rtx_ssrcs: Mapping[int, int] = field(default_factory=dict)
    """RTX SSRC to the media SSRC it repairs."""
    extensions: Mapping[str, int] = field(default_factory=dict)
    """Agreed header extensions, URI to id."""
    msid: str | None = None
    """`a=msid` of the sender, verbatim."""


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """Our answer, and what it settles."""

    sdp: str
    media: tuple[NegotiatedMedia, ...]
    """One per media section of the offer that is audio or video, in its order."""
