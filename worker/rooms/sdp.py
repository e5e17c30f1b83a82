"""Reading session descriptions: hostile text in, bounded plain values out.

aiortc's parser does the work, behind caps and a filter: only the lines we use reach it, so an
odd attribute elsewhere costs nothing, and whatever it raises becomes `BadSdp`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from aiortc import RTCIceCandidate
from aiortc.sdp import MediaDescription, SessionDescription

from worker.core.identity import Kind
from worker.errors import RoomError
from worker.rooms.media import MediaCodec
from worker.rooms.sdp_codecs import read_codecs

MAX_SDP_CHARACTERS = 256 * 1024
MAX_SECTIONS = 64
MAX_CANDIDATES = 64
# The parser looks SSRCs and codecs up by linear search; these keep that product small.
MAX_LINES = 10_000
MAX_SECTION_LINES = 512
MAX_LINE_CHARACTERS = 2048
MAX_SECTION_SSRCS = 16

_USED_ATTRIBUTES = re.compile(
    r"a=(candidate|fingerprint|ice-ufrag|ice-pwd|group|setup|mid|msid|rtpmap|fmtp|rtcp-fb"
    r"|extmap|ssrc-group):|a=ssrc:[0-9]+ cname:|a=(ice-lite|sendrecv|sendonly|recvonly|inactive)$"
)
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]{1,64}")
_CREDENTIAL = re.compile(r"[!-9;-~]{4,256}")
_DIGESTS = ("sha-256", "sha-384", "sha-512")


class BadSdp(RoomError):
    """The other end sent a description that cannot be read, or that we refuse to read."""

    code = "bad_sdp"
    retryable = False


@dataclass(frozen=True, slots=True)
class Section:
    """One media section of the other end's description."""

    mid: str
    media: str
    """The first word of the m-line: audio, video, application, …"""
    profile: str
    formats: tuple[str, ...]
    is_rejected: bool
    """Port 0 without `a=bundle-only`: the section is dead."""
    direction: str
    codecs: tuple[MediaCodec, ...]
    """Those we know, in the other end's order of preference."""
    placeholder: tuple[int, str] | None
    """Payload type and `a=rtpmap` value of some codec of theirs, known to us or not."""
    ssrcs: tuple[int, ...]
    rtx_ssrcs: Mapping[int, int]
    extensions: Mapping[str, int]
    msid: str | None

    @property
    def kind(self) -> Kind | None:
        return {"audio": Kind.AUDIO, "video": Kind.VIDEO}.get(self.media)


@dataclass(frozen=True, slots=True)
class TransportDescription:
    """How to reach and authenticate the other end; one for all sections (BUNDLE)."""

    username: str
    password: str
    is_lite: bool
    fingerprints: tuple[tuple[str, str], ...]
    setup: str
    """DTLS role as aiortc names it: "auto" (actpass), "client" (active) or "server"."""


@dataclass(frozen=True, slots=True)
class Description:
    """An offer or answer of the other end, checked against our limits."""

    sections: tuple[Section, ...]
    bundle: tuple[str, ...]
    """MIDs that share the transport."""
    transport: TransportDescription | None
    """None when no section is alive."""
    candidates: tuple[RTCIceCandidate, ...]
    """UDP candidates of all sections with plain addresses; mDNS names are left out."""
    has_mixed_extensions: bool
    """`a=extmap-allow-mixed`: one-byte and two-byte header extensions may both occur."""


def read_description(text: str) -> Description:
    """Parse an offer or answer.

    Raises `BadSdp` on anything malformed, on more than 256 kB, 64 sections or 10,000 lines,
    and when a section has no MID. Candidates beyond 64 are ignored.
    """
    lines = _bounded_lines(text)
    try:
        session = SessionDescription.parse("\r\n".join(_used_lines(lines)) + "\r\n")
        bundle_only = _bundle_only(lines)
        sections = tuple(
            _section(media, is_bundle_only)
            for media, is_bundle_only in zip(session.media, bundle_only, strict=True)
        )
        bundle = next(
            (
                tuple(str(mid) for mid in group.items)
                for group in session.group
                if group.semantic == "BUNDLE"
            ),
            (),
        )
        return Description(
            sections=_distinct(sections),
            bundle=bundle,
            transport=_transport(session, bundle),
            candidates=_candidates(session),
            has_mixed_extensions="a=extmap-allow-mixed" in lines,
        )
    except BadSdp:
        raise
    except Exception as exc:  # the parser's boundary: it asserts and indexes what it reads
        raise BadSdp(f"session description cannot be read: {type(exc).__name__}") from exc


def _bounded_lines(text: str) -> list[str]:
    if len(text) > MAX_SDP_CHARACTERS:
        raise BadSdp(f"session description of more than {MAX_SDP_CHARACTERS} characters")
    lines = text.replace("\r\n", "\n").split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        raise BadSdp(f"session description of more than {MAX_LINES} lines")
    sections = 0
    section_lines = 0
    for line in lines:
        section_lines += 1
        if line.startswith("m="):
            sections += 1
            section_lines = 0
            if not line.isprintable():
                raise BadSdp("session description with a malformed media line")
        if len(line) > MAX_LINE_CHARACTERS or section_lines > MAX_SECTION_LINES:
            raise BadSdp("session description with an oversized line or section")
    if not 0 < sections <= MAX_SECTIONS:
        raise BadSdp(f"session description with {sections} media sections")
    return lines


def _used_lines(lines: list[str]) -> Iterator[str]:
    for line in lines:
        # Characters that str.splitlines() takes for line ends would smuggle lines past the filter.
        if line.isprintable() and (line.startswith("m=") or _USED_ATTRIBUTES.match(line)):
            yield line


def _bundle_only(lines: list[str]) -> list[bool]:
    flags: list[bool] = []
    for line in lines:
        if line.startswith("m="):
            flags.append(False)
        elif line == "a=bundle-only" and flags:
            flags[-1] = True
    return flags


def _distinct(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids):
        raise BadSdp("two media sections have the same MID")
    return sections


def _section(media: MediaDescription, is_bundle_only: bool) -> Section:
    mid = media.rtp.muxId
    if not mid or not _TOKEN.fullmatch(mid):
        raise BadSdp("media section without a valid MID")
    pairs = [
        (int(group.items[1]), int(group.items[0]))
        for group in media.ssrc_group
        if group.semantic == "FID" and len(group.items) == 2
    ]
    rtx_ssrcs = {
        rtx: primary
        for rtx, primary in pairs[:MAX_SECTION_SSRCS]
        if _is_ssrc(rtx) and _is_ssrc(primary)
    }
    ssrcs = [entry.ssrc for entry in media.ssrc if _is_ssrc(entry.ssrc)]
    return Section(
        mid=mid,
        media=media.kind,
        profile=media.profile,
        formats=tuple(str(fmt) for fmt in media.fmt),
        is_rejected=media.port == 0 and not is_bundle_only,
        direction=media.direction or "sendrecv",
        codecs=read_codecs(media),
        placeholder=_placeholder(media),
        ssrcs=tuple(ssrc for ssrc in ssrcs if ssrc not in rtx_ssrcs)[:MAX_SECTION_SSRCS],
        rtx_ssrcs=rtx_ssrcs,
        extensions={
            extension.uri: extension.id
            for extension in media.rtp.headerExtensions
            if 1 <= extension.id <= 255
        },
        msid=media.msid,
    )


def _placeholder(media: MediaDescription) -> tuple[int, str] | None:
    for entry in media.rtp.codecs:
        if entry.payloadType is not None and 0 <= entry.payloadType < 128:
            channels = f"/{entry.channels}" if entry.channels else ""
            name = entry.mimeType.partition("/")[2]
            return entry.payloadType, f"{name}/{entry.clockRate}{channels}"
    return None


def _is_ssrc(value: int) -> bool:
    return 0 <= value < 1 << 32


def _transport(session: SessionDescription, bundle: tuple[str, ...]) -> TransportDescription | None:
    for media in session.media:
        if bundle and media.rtp.muxId not in bundle:
            continue
        ice, dtls = media.ice, media.dtls
        if ice is None or dtls is None or not ice.usernameFragment or not ice.password:
            continue
        if not (
            _CREDENTIAL.fullmatch(ice.usernameFragment) and _CREDENTIAL.fullmatch(ice.password)
        ):
            raise BadSdp("ICE credentials are malformed")
        fingerprints = tuple(
            dict.fromkeys(
                (entry.algorithm.lower(), entry.value.upper())
                for entry in dtls.fingerprints
                if entry.algorithm.lower() in _DIGESTS
            )
        )
        if not fingerprints:
            raise BadSdp("no certificate fingerprint we can check")
        return TransportDescription(
            username=ice.usernameFragment,
            password=ice.password,
            is_lite=ice.iceLite,
            fingerprints=fingerprints,
            setup=dtls.role,
        )
    return None


def _candidates(session: SessionDescription) -> tuple[RTCIceCandidate, ...]:
    """Those of every section: senders put them in the first, the last or all of a bundle."""
    usable: dict[tuple[str, int], RTCIceCandidate] = {}
    for media in session.media:
        for candidate in media.ice_candidates:
            if len(usable) >= MAX_CANDIDATES:
                return tuple(usable.values())
            if _is_usable(candidate):
                usable.setdefault((candidate.ip, candidate.port), candidate)
    return tuple(usable.values())


def _is_usable(candidate: RTCIceCandidate) -> bool:
    if candidate.component != 1 or candidate.protocol.lower() != "udp":
        return False
    if not 0 < candidate.port < 1 << 16 or not 0 <= candidate.priority < 1 << 32:
        return False
    try:
        # A ".local" name fails here. Resolving it would need multicast and a second per name;
        # the browser behind it checks our candidates anyway, and we learn its address from that.
        address = ip_address(candidate.ip)
    except ValueError:
        return False
    return not (address.is_multicast or address.is_unspecified)
