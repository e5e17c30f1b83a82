"""Encodes short programmes and looks at MP4 files with tools that are not ours."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.media.material import flat
from worker.core.layout.geometry import Size
from worker.core.planes import VideoPlanes
from worker.core.template import EncodeTemplate
from worker.core.timing import samples_for_ticks
from worker.media.aac import AacEncoder
from worker.media.canvas import CanvasPool, PooledCanvas
from worker.media.encode import EncoderSettings, X264Encoder
from worker.ports import EncodedPacket, Program

TEMPLATE = EncodeTemplate(Size(96, 64), 30, 200)


@dataclass(slots=True)
class Programme:
    """What a job would send to its muxers, in the order it would."""

    program: Program
    packets: list[EncodedPacket] = field(default_factory=list)


def film(size: Size, ticks: int, seed: int = 1) -> Iterator[VideoPlanes]:
    """A textured picture that sways, with sensor noise: as hard to encode as a camera."""
    source = np.random.default_rng(seed)
    rough = source.normal(0, 1, (size.height // 8 + 12, size.width // 8 + 12))
    texture = np.kron(rough, np.ones((8, 8))) * 25 + 120
    noise = [source.normal(0, 2, (size.height, size.width)) for _ in range(5)]
    for tick in range(ticks):
        top = round(40 + 40 * np.sin(tick * 0.05))
        left = round(40 + 40 * np.cos(tick * 0.037))
        view = texture[top : top + size.height, left : left + size.width]
        planes = flat(size, (0, 110 + tick % 30, 140))
        planes.y[:] = np.clip(view + noise[tick % 5], 16, 235)
        yield planes


def canvas_of(pool: CanvasPool, planes: VideoPlanes) -> PooledCanvas:
    buffer = pool.take()
    for name in ("y", "u", "v"):
        np.copyto(getattr(buffer.planes, name), getattr(planes, name))
    return pool.hand_out(buffer)


def flash_and_click(
    seconds: float,
    *,
    flash_tick: int = 45,
    click_sample: int = 72_000,
    template: EncodeTemplate = TEMPLATE,
    with_video: bool = True,
    with_audio: bool = True,
) -> Programme:
    """A swaying film with one white frame, and faint noise with one click."""
    video = X264Encoder(template, EncoderSettings())
    audio = AacEncoder()
    made = Programme(
        Program(video.stream if with_video else None, audio.stream if with_audio else None)
    )
    ticks = round(seconds * template.fps)
    pcm = np.random.default_rng(2).normal(0, 0.002, (samples_for_ticks(ticks, template.fps), 2))
    pcm[click_sample : click_sample + 24] = 0.9
    pool = CanvasPool(template.size, 1)
    for tick, planes in enumerate(film(template.size, ticks)):
        if tick == flash_tick:
            planes.y[:] = 235
        canvas = canvas_of(pool, planes)
        if with_video:
            made.packets += video.encode(canvas, tick, keyframe=False)
        canvas.release()
        if with_audio:
            block = pcm[
                samples_for_ticks(tick, template.fps) : samples_for_ticks(tick + 1, template.fps)
            ]
            made.packets += audio.encode(block.astype(np.float32))
    if with_audio:
        made.packets += audio.flush()
    if with_video:
        made.packets += video.flush()
    return made


def strict_complaints(path: Path) -> str:
    """What the ffmpeg command says when it decodes everything and stops at the first error."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def probe(path: Path) -> dict[str, Any]:
    """ffprobe's opinion: the streams by kind ("video", "audio")."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return {stream["codec_type"]: stream for stream in json.loads(done.stdout)["streams"]}


def decoded_luma(path: Path, size: Size) -> NDArray[np.uint8]:
    """All frames as the ffmpeg command shows them, (frames, height, width)."""
    raw = _ffmpeg(path, "-map", "0:v", "-fps_mode", "passthrough", "-pix_fmt", "gray")
    return np.frombuffer(raw, np.uint8).reshape(-1, size.height, size.width)


def decoded_left(path: Path) -> NDArray[np.float32]:
    """The left channel on the file's own clock: sample 0 is heard with time 0.

    The filter cuts what lies before time 0, and fills what is missing after it.
    """
    raw = _ffmpeg(
        path, "-map", "0:a", "-af", "aresample=async=1:first_pts=0,pan=mono|c0=c0", before="-copyts"
    )
    return np.frombuffer(raw, np.float32)


def _ffmpeg(path: Path, *options: str, before: str | None = None) -> bytes:
    form = "f32le" if "0:a" in options else "rawvideo"
    command = ["ffmpeg", "-nostdin", "-v", "error", *([before] if before else [])]
    command += ["-i", str(path), *options, "-f", form, "-"]
    return subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
