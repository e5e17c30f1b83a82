"""Encoded sound and pictures that carry marks, given to sinks as a job would: in real time.

Frame k shows the number k; at every whole second there is a flash and a beep.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests.support.look import Recording
from worker.core.identity import Source
from worker.core.layout.geometry import Size
from worker.core.template import EncodeTemplate
from worker.core.timing import SAMPLE_RATE_HZ, samples_for_ticks
from worker.media.aac import AacEncoder
from worker.media.canvas import CanvasPool
from worker.media.encode import EncoderSettings, X264Encoder
from worker.ports import EncodedPacket, Program
from worker.testroom import marks
from worker.testroom.marks import View
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person

FPS = 15
SIZE = Size(320, 180)
TEMPLATE = EncodeTemplate(SIZE, FPS, 320)
BEEP_HZ = 1000.0
BEEP_S = 0.1
BATCH_TICKS = 2


@dataclass(frozen=True, slots=True)
class Footage:
    """A program and its packets, by the tick at which the encoders gave them."""

    program: Program
    ticks: Sequence[Sequence[EncodedPacket]]

    @property
    def packets(self) -> list[EncodedPacket]:
        return [packet for tick in self.ticks for packet in tick]


@cache
def footage(seconds: float, *, with_video: bool = True) -> Footage:
    """Encode so much; the same is made only once."""
    video, audio = X264Encoder(TEMPLATE, EncoderSettings()), AacEncoder()
    pool = CanvasPool(SIZE, 1)
    painter = Painter(Picture(Person(3, "Ada"), Source.CAMERA, SIZE, FPS, 60, 0.5))
    ticks = round(seconds * FPS)
    pcm = _beeps(samples_for_ticks(ticks, FPS))
    made: list[list[EncodedPacket]] = []
    for tick in range(ticks):
        packets: list[EncodedPacket] = []
        start, end = samples_for_ticks(tick, FPS), samples_for_ticks(tick + 1, FPS)
        packets += audio.encode(pcm[start:end])
        if with_video:
            buffer, planes = pool.take(), painter.paint(tick)
            for name in ("y", "u", "v"):
                np.copyto(getattr(buffer.planes, name), getattr(planes, name))
            canvas = pool.hand_out(buffer)
            packets += video.encode(canvas, tick, keyframe=False)
            canvas.release()
        made.append(packets)
    made.append([*audio.flush(), *(video.flush() if with_video else ())])
    return Footage(Program(video.stream if with_video else None, audio.stream), made)


class LiveSource:
    """`ports.PacketSource`: footage as fast as it happens, from *begins_s* of the loop on."""

    def __init__(self, shown: Footage, begins_s: float) -> None:
        self._ticks = shown.ticks
        self._begins_s = begins_s
        self._next = 0

    async def get_all(self) -> Sequence[EncodedPacket]:
        first, self._next = self._next, self._next + BATCH_TICKS
        due_s = self._begins_s + min(self._next, len(self._ticks)) / FPS
        await asyncio.sleep(due_s - asyncio.get_running_loop().time())
        return [packet for tick in self._ticks[first : self._next] for packet in tick]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a received file shows: of each frame its number, whether it flashes, and its time."""

    numbers: Sequence[int | None]
    flashes: Sequence[bool]
    times_s: Sequence[float]

    @property
    def flash_times_s(self) -> list[float]:
        """When a flash begins."""
        before = (False, *self.flashes)
        timed = zip(self.times_s, self.flashes, before, strict=False)
        return [time_s for time_s, flash, was in timed if flash and not was]

    @property
    def gaps(self) -> list[int]:
        """Frames missing between one and the next, where some are."""
        steps = zip(self.numbers, self.numbers[1:], strict=False)
        return [b - a - 1 for a, b in steps if a is not None and b is not None and b - a != 1]


def see(path: Path) -> Seen:
    """Decode *path* with the ffmpeg command and read the marks."""
    recording = Recording(path)
    view = View.of(SIZE, SIZE)
    numbers, flashes = [], []
    for planes in recording.frames():
        numbers.append(marks.read_counter(planes.y, view))
        flashes.append(marks.read_flash(planes.y, view))
    return Seen(numbers, flashes, recording.video.times_s)


def _beeps(samples: int) -> np.ndarray:
    time_s = np.arange(samples) / SAMPLE_RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * BEEP_HZ * time_s) * (time_s % 1 < BEEP_S)
    return np.repeat(tone[:, None], 2, axis=1).astype(np.float32)
