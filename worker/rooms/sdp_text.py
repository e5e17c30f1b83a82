"""Writing our own session descriptions: one BUNDLE transport, complete candidates, no trickle."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.core.identity import Codec
from worker.rooms.media import MediaCodec, OfferedMedia


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of the transport, ready to be printed."""

    session_id: int
    username: str
    password: str
    fingerprint: str
    """SHA-256 of our certificate, colon-separated upper-case hex."""
    setup: str
    """"actpass" in an offer, "active" or "passive" in an answer."""
    candidates: tuple[str, ...]
    """Values of `a=candidate` lines."""


@dataclass(frozen=True, slots=True)
class TextSection:
    """One media section to print; without codecs or placeholder it is printed as rejected."""

    mid: str
    media: str
    direction: str = "inactive"
    codecs: tuple[MediaCodec, ...] = ()
    placeholder: tuple[int, str] | None = None
    """Without codecs: keeps the section alive, unused; payload type and `a=rtpmap` value."""
    extensions: tuple[tuple[str, int], ...] = ()
    source: OfferedMedia | None = None
    """What we send in this section, if we send."""
    profile: str = "UDP/TLS/RTP/SAVPF"
    formats: tuple[str, ...] = ("0",)
    """Formats of the m-line of a rejected section, which must list some."""

    @property
    def is_alive(self) -> bool:
        return bool(self.codecs) or self.placeholder is not None


def write_description(
    transport: LocalTransport,
    sections: Sequence[TextSection],
    *,
    version: int,
    has_mixed_extensions: bool,
) -> str:
    """An offer or answer as text; rejected sections keep their place and leave the bundle."""
    bundle = " ".join(section.mid for section in sections if section.is_alive)
    lines = [
        "v=0",
        f"o=- {transport.session_id} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *([f"a=group:BUNDLE {bundle}"] if bundle else []),
        *(["a=extmap-allow-mixed"] if has_mixed_extensions else []),
        "a=msid-semantic: WMS *",
    ]
    for section in sections:
        lines += _accepted(transport, section) if section.is_alive else _rejected(section)
    return "\r\n".join(lines) + "\r\n"


def _rejected(section: TextSection) -> Iterable[str]:
    yield f"m={section.media} 0 {section.profile} {' '.join(section.formats)}"
    yield "c=IN IP4 0.0.0.0"
    yield f"a=mid:{section.mid}"
    yield "a=inactive"


def _accepted(transport: LocalTransport, section: TextSection) -> Iterable[str]:
    payload_types = [str(number) for codec in section.codecs for number in codec.payload_types]
    if not section.codecs and section.placeholder is not None:
        payload_types = [str(section.placeholder[0])]
    yield f"m={section.media} 9 {section.profile} {' '.join(payload_types)}"
    yield "c=IN IP4 0.0.0.0"
    yield "a=rtcp:9 IN IP4 0.0.0.0"
    for candidate in transport.candidates:
        yield f"a=candidate:{candidate}"
    yield "a=end-of-candidates"
    yield f"a=ice-ufrag:{transport.username}"
    yield f"a=ice-pwd:{transport.password}"
    yield f"a=fingerprint:sha-256 {transport.fingerprint}"
    yield f"a=setup:{transport.setup}"
    yield f"a=mid:{section.mid}"
    for uri, extension_id in section.extensions:
        yield f"a=extmap:{extension_id} {uri}"
    yield f"a={section.direction}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    for codec in section.codecs:
        yield from _codec(codec)
    if not section.codecs and section.placeholder is not None:
        yield "a=rtpmap:{} {}".format(*section.placeholder)
    if section.source is not None:
        yield from _source(section.source)


def _codec(codec: MediaCodec) -> Iterable[str]:
    channels = "/2" if codec.codec is Codec.OPUS else ""
    clock_hz = codec.codec.clock_rate_hz
    name = "opus" if codec.codec is Codec.OPUS else codec.codec.value
    yield f"a=rtpmap:{codec.payload_type} {name}/{clock_hz}{channels}"
    for feedback in codec.feedback:
        yield f"a=rtcp-fb:{codec.payload_type} {feedback}"
    if codec.parameters:
        yield f"a=fmtp:{codec.payload_type} {codec.parameters}"
    if codec.red_payload_type is not None:
        yield f"a=rtpmap:{codec.red_payload_type} red/{clock_hz}{channels}"
        yield f"a=fmtp:{codec.red_payload_type} {codec.payload_type}/{codec.payload_type}"
    if codec.rtx_payload_type is not None:
        yield f"a=rtpmap:{codec.rtx_payload_type} rtx/{clock_hz}"
        yield f"a=fmtp:{codec.rtx_payload_type} apt={codec.payload_type}"


def _source(source: OfferedMedia) -> Iterable[str]:
    yield f"a=msid:{source.stream} {source.mid}"
    if source.rtx_ssrc is not None:
        yield f"a=ssrc-group:FID {source.ssrc} {source.rtx_ssrc}"
    for ssrc in (source.ssrc, source.rtx_ssrc):
        if ssrc is not None:
            yield f"a=ssrc:{ssrc} cname:{source.cname}"
