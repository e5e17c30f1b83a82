"""What a finished recording is: its streams, their lengths, its weight."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from worker.core.layout.geometry import Size
from worker.errors import MediaError


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """Facts of one media file. Without a video its size is None, its frames and duration 0."""

    size_bytes: int
    duration_s: float
    """Of the longer stream."""
    bitrate_kbps: float
    """Of the whole file, container included."""
    video_size: Size | None
    frames: int
    video_duration_s: float
    audio_duration_s: float


def recording_facts(path: Path) -> RecordingFacts:
    """Read them from the index, or packet by packet when the file was never closed.

    Raises `MediaError` when *path* is no media file.
    """
    try:
        size_bytes = path.stat().st_size
        with av.open(str(path), "r") as container:
            video = next(iter(container.streams.video), None)
            audio = next(iter(container.streams.audio), None)
            spans = _spans(container)
            frames, video_s = spans[video.index] if video is not None else (0, 0.0)
            _, audio_s = spans[audio.index] if audio is not None else (0, 0.0)
            video_size = Size(video.width, video.height) if video is not None else None
    except (av.FFmpegError, OSError) as exc:
        raise MediaError(f"{path} is not a media file: {exc}") from exc
    duration_s = max(video_s, audio_s)
    return RecordingFacts(
        size_bytes=size_bytes,
        duration_s=duration_s,
        bitrate_kbps=size_bytes * 8 / 1000 / duration_s if duration_s else 0.0,
        video_size=video_size,
        frames=frames,
        video_duration_s=video_s,
        audio_duration_s=audio_s,
    )


def _spans(container: InputContainer) -> dict[int, tuple[int, float]]:
    """Packets and seconds of each stream."""
    indexed = {stream.index: _indexed_span(stream) for stream in container.streams}
    if all(span is not None for span in indexed.values()):
        return {index: span for index, span in indexed.items() if span is not None}
    counts = dict.fromkeys(indexed, 0)
    ends = dict.fromkeys(indexed, Fraction(0))
    for packet in container.demux():
        if packet.pts is None:
            continue
        index = packet.stream.index
        counts[index] += 1
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        ends[index] = max(ends[index], end)
    return {index: (counts[index], float(ends[index])) for index in indexed}


def _indexed_span(stream: Stream) -> tuple[int, float] | None:
    if not stream.frames or stream.duration is None or stream.time_base is None:
        return None
    return stream.frames, float(stream.duration * stream.time_base)
