"""Writes what the synthetic people send into files, so that other programs can take it in.

The very same encoded units the people send: VP8 in WebM, H.264 in MP4, Opus in Ogg, each stream in
a file of its own, so that nobody needs a queue between a demultiplexer and two decoders.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av

from bench.cases import Case
from worker.core.identity import Codec
from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from worker.rooms.rtp.h264 import split_annex_b
from worker.testroom.loop_cache import Loop
from worker.testroom.loop_media import LoopLibrary, picture_of
from worker.testroom.performance import feeds_of
from worker.testroom.scenario import Scenario, VideoFeed
from worker.testroom.scenario_file import parse_scenario

_FORMS = {Codec.VP8: ("webm", "libvpx"), Codec.H264: ("mp4", "libx264")}
_PARAMETER_SETS = (7, 8)
_OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 312, SAMPLE_RATE_HZ, 0, 0)
"""RFC 7845 5.1: one channel, and what the encoder's look-ahead adds at the start."""


@dataclass(frozen=True, slots=True)
class PersonFiles:
    """One person's camera and microphone."""

    video: Path
    audio: Path


@dataclass(frozen=True, slots=True)
class PersonLoops:
    """The same, as encoded units that repeat."""

    feed: VideoFeed
    video: Loop
    audio: Loop


def loops_of(case: Case) -> Sequence[PersonLoops]:
    """What everybody in *case* sends; encoded the first time, then from the user's cache."""
    scenario = parse_scenario(case.scenario)
    library = LoopLibrary.of_user()
    library.prepare(scenario)
    return [_loops(scenario, index, library) for index in range(case.people)]


def write_streams(case: Case, seconds: int, directory: Path) -> Sequence[PersonFiles]:
    """Files of exactly *seconds* for everybody in *case*."""
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for index, loops in enumerate(loops_of(case)):
        form, _ = _FORMS[loops.feed.codec]
        stem = directory / f"{index:03}"
        person = PersonFiles(stem.with_suffix(f".{form}"), stem.with_suffix(".ogg"))
        _write_video(person.video, loops, seconds)
        _write_audio(person.audio, loops.audio, seconds)
        files.append(person)
    return files


def _loops(scenario: Scenario, index: int, library: LoopLibrary) -> PersonLoops:
    actor = scenario.actors[index]
    ((source, feed),) = feeds_of(scenario, actor)
    assert actor.voice is not None
    return PersonLoops(
        feed,
        library.video(picture_of(actor.person, source, feed, scenario.loop_s), feed),
        library.audio(actor.voice, actor.person, scenario.loop_s),
    )


def _write_video(path: Path, loops: PersonLoops, seconds: int) -> None:
    feed = loops.feed
    form, encoder = _FORMS[feed.codec]
    with av.open(str(path), "w", format=form) as container:
        stream = _bare_stream(
            container,
            encoder,
            rate=feed.fps,
            width=feed.size.width,
            height=feed.size.height,
            pix_fmt="yuv420p",
            time_base=Fraction(1, feed.fps),
        )
        if feed.codec is Codec.H264:
            stream.codec_context.extradata = _parameter_sets(loops.video[0].data)
        for position, unit in enumerate(islice(cycle(loops.video), seconds * feed.fps)):
            _mux(container, stream, unit.data, position, 1, feed.fps, keyframe=unit.keyframe)


def _write_audio(path: Path, loop: Loop, seconds: int) -> None:
    blocks = seconds * SAMPLE_RATE_HZ // BLOCK_SAMPLES
    with av.open(str(path), "w", format="ogg") as container:
        stream = _bare_stream(
            container,
            "libopus",
            rate=SAMPLE_RATE_HZ,
            layout="mono",
            time_base=Fraction(1, SAMPLE_RATE_HZ),
        )
        stream.codec_context.extradata = _OPUS_HEAD
        for position, unit in enumerate(islice(cycle(loop), blocks)):
            start = position * BLOCK_SAMPLES
            _mux(container, stream, unit.data, start, BLOCK_SAMPLES, SAMPLE_RATE_HZ, keyframe=True)


def _bare_stream(container: Any, encoder: str, *, rate: int, **properties: Any) -> Any:
    """A stream of *container* that is never opened as an encoder."""
    with av.open(io.BytesIO(), "w", format="matroska") as blueprint:
        return container.add_stream_from_template(
            blueprint.add_stream(encoder, rate=rate, **properties), opaque=True
        )


def _mux(
    container: Any,
    stream: Any,
    data: bytes,
    pts: int,
    duration: int,
    rate_hz: int,
    *,
    keyframe: bool,
) -> None:
    packet: Any = av.Packet(data)
    packet.stream = stream
    packet.time_base = Fraction(1, rate_hz)
    packet.pts = packet.dts = pts
    packet.duration = duration
    packet.is_keyframe = keyframe
    container.mux_one(packet)


def _parameter_sets(unit: bytes) -> bytes:
    return b"".join(
        b"\0\0\0\1" + nal for nal in split_annex_b(unit) if nal[0] & 31 in _PARAMETER_SETS
    )
