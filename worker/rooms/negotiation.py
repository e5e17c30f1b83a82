"""Offer and answer, section by section: what is written, and what was agreed."""

from collections.abc import Sequence
from dataclasses import replace

from worker.core.identity import Codec, Kind
from worker.rooms.media import (
    PAUSES_WANTED,
    RECEIVED_EXTENSIONS,
    REMB,
    TRANSPORT_CC,
    TRANSPORT_CC_URI,
    MediaCodec,
    NegotiatedMedia,
    OfferedMedia,
)
from worker.rooms.sdp import Section
from worker.rooms.sdp_text import TextSection

_STEREO = ("stereo=1", "sprop-stereo=1")


def offered_section(mid: str, kind: Kind, entry: OfferedMedia | None) -> TextSection:
    """How a stream of ours is offered; None for one that has ended and keeps its place."""
    if entry is None:
        return TextSection(mid=mid, media=kind.value)
    return TextSection(
        mid=mid,
        media=kind.value,
        direction="sendonly",
        codecs=entry.codecs,
        extensions=tuple(entry.extensions.items()),
        source=entry,
    )


def answered_section(
    section: Section, codecs: Sequence[Codec], *, bundle: Sequence[str]
) -> TextSection:
    """Our answer to a section of theirs: recvonly in *codecs*, or rejected.

    The first of the bundle is kept, inactive, even when we can't receive it: it carries the
    transport, and browsers refuse an answer that takes it away.
    """
    is_usable = not section.is_rejected and section.mid in bundle
    usable = _receivable(section, codecs) if is_usable else ()
    if not usable and is_usable and section.kind is not None and section.mid == bundle[0]:
        return TextSection(
            mid=section.mid,
            media=section.media,
            placeholder=section.placeholder,
            profile=section.profile,
            formats=section.formats[:1],
        )
    if not usable:
        return TextSection(
            mid=section.mid,
            media=section.media,
            profile=section.profile,
            formats=section.formats[:1],
        )
    return TextSection(
        mid=section.mid,
        media=section.media,
        direction="recvonly" if section.direction in ("sendrecv", "sendonly") else "inactive",
        codecs=usable,
        extensions=tuple(
            (uri, section.extensions[uri])
            for uri in RECEIVED_EXTENSIONS
            if uri in section.extensions
        ),
        profile=section.profile,
    )


def _receivable(section: Section, codecs: Sequence[Codec]) -> tuple[MediaCodec, ...]:
    unused = _unused_feedback(section)
    return tuple(
        replace(
            entry,
            feedback=tuple(value for value in entry.feedback if value != unused),
            parameters=_answered_parameters(entry),
        )
        for entry in section.codecs
        if entry.codec in codecs
    )


def _answered_parameters(codec: MediaCodec) -> str:
    """Theirs; of a microphone we want no silence, which is most of what a large room would send.

    Who offers stereo has music to send, and means its quiet parts too.
    """
    if codec.codec is not Codec.OPUS:
        return codec.parameters
    kept = [each for each in codec.parameters.split(";") if each and "usedtx" not in each]
    has_stereo = any(each.strip() in _STEREO for each in kept)
    return ";".join(kept if has_stereo else [*kept, PAUSES_WANTED])


def _unused_feedback(section: Section) -> str:
    """One kind of congestion feedback is enough: that of the transport, if its packets have
    numbers. Senders that are given both ignore REMB or let it cap them."""
    has_numbers = TRANSPORT_CC_URI in section.extensions
    offers_both = has_numbers and all(TRANSPORT_CC in entry.feedback for entry in section.codecs)
    return REMB if offers_both else TRANSPORT_CC


def received_media(section: Section, text: TextSection) -> NegotiatedMedia:
    """What we will receive in a section that we answered with *text*."""
    assert section.kind is not None
    return NegotiatedMedia(
        mid=section.mid,
        kind=section.kind,
        is_active=text.direction == "recvonly",
        codecs=text.codecs,
        ssrcs=section.ssrcs,
        rtx_ssrcs=section.rtx_ssrcs,
        extensions=dict(text.extensions),
        msid=section.msid,
    )


def accepted_media(offered: OfferedMedia, section: Section) -> NegotiatedMedia:
    """What the other end takes of a stream we offered, in its order of preference."""
    ours = {codec.payload_type: codec for codec in offered.codecs}
    codecs = tuple(
        codec
        for codec in (() if section.is_rejected else section.codecs)
        if codec.payload_type in ours and ours[codec.payload_type].codec is codec.codec
    )
    return NegotiatedMedia(
        mid=offered.mid,
        kind=offered.kind,
        is_active=bool(codecs) and section.direction in ("sendrecv", "recvonly"),
        codecs=codecs,
        ssrcs=(offered.ssrc,),
        rtx_ssrcs={} if offered.rtx_ssrc is None else {offered.rtx_ssrc: offered.ssrc},
        extensions={
            uri: number
            for uri, number in offered.extensions.items()
            if section.extensions.get(uri) == number
        },
    )
