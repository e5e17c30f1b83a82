"""Which codecs a media section lists: those we know, with what repairs and repeats them."""

from collections.abc import Iterator
from dataclasses import replace

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.sdp import MediaDescription, parameters_to_sdp

from worker.core.identity import Codec
from worker.rooms.media import KNOWN_FEEDBACK, MediaCodec, kind_of


def read_codecs(media: MediaDescription) -> tuple[MediaCodec, ...]:
    """The codecs of *media* that we know, in the other end's order of preference."""
    known: dict[int, MediaCodec] = {}
    rtx: dict[int, int] = {}
    red: dict[int, int] = {}
    for payload_type, entry in _usable(media):
        match entry.mimeType.partition("/")[2].upper():
            case "RTX":
                repaired = entry.parameters.get("apt")
                if isinstance(repaired, int):
                    rtx.setdefault(repaired, payload_type)
            case "RED" if media.kind == "audio":
                repeated = parameters_to_sdp(entry.parameters).partition("/")[0]
                if repeated.isascii() and repeated.isdigit():
                    red.setdefault(int(repeated), payload_type)
            case name:
                codec = next((codec for codec in Codec if codec.value == name), None)
                if codec is not None and _is_received(codec, media, entry):
                    known.setdefault(payload_type, _codec(payload_type, codec, entry))
    order = {int(fmt): None for fmt in media.fmt} if media.kind in ("audio", "video") else {}
    ranks = {payload_type: rank for rank, payload_type in enumerate(order)}
    return tuple(
        replace(
            known[payload_type],
            rtx_payload_type=rtx.get(payload_type),
            red_payload_type=red.get(payload_type),
            is_red_preferred=ranks[red.get(payload_type, payload_type)] < ranks[payload_type],
        )
        for payload_type in order
        if payload_type in known
    )


def _usable(media: MediaDescription) -> Iterator[tuple[int, RTCRtpCodecParameters]]:
    listed = {str(fmt) for fmt in media.fmt}
    for entry in media.rtp.codecs:
        payload_type = entry.payloadType
        # With RTCP on the same port, 64..95 would be taken for RTCP (RFC 5761 section 4).
        if payload_type is None or str(payload_type) not in listed:
            continue
        if 0 <= payload_type < 64 or 96 <= payload_type < 128:
            yield payload_type, entry


def _is_received(codec: Codec, media: MediaDescription, entry: RTCRtpCodecParameters) -> bool:
    if kind_of(codec).value != media.kind or codec.clock_rate_hz != entry.clockRate:
        return False
    # RFC 9628 section 6: without a profile it is 0, the only one of 8 bits and 4:2:0.
    return codec is not Codec.VP9 or str(entry.parameters.get("profile-id", 0)) == "0"


def _codec(payload_type: int, codec: Codec, entry: RTCRtpCodecParameters) -> MediaCodec:
    feedback = [f"{each.type} {each.parameter or ''}".strip() for each in entry.rtcpFeedback]
    return MediaCodec(
        payload_type=payload_type,
        codec=codec,
        feedback=tuple(value for value in KNOWN_FEEDBACK if value in feedback),
        parameters=parameters_to_sdp(entry.parameters),
    )
