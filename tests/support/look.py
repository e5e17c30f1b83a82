"""Looks at a finished recording as somebody who only has the file: pictures, sound, facts.

Decoding is left to the ffmpeg command line, which shares no code with the worker.
"""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tests.support import container, hearing, seeing
from tests.support.container import FileFacts, StreamFacts
from tests.support.seeing import TileHistory, Watch
from worker.core.planes import VideoPlanes

Name = TypeVar("Name")


class Recording:
    """A media file, decoded on demand. Facts are read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._facts: FileFacts | None = None

    @property
    def facts(self) -> FileFacts:
        if self._facts is None:
            self._facts = container.probe(self.path)
        return self._facts

    @property
    def video(self) -> StreamFacts:
        """Facts of the video stream, which must be there."""
        assert self.facts.video is not None, f"{self.path} has no video"
        return self.facts.video

    @property
    def audio(self) -> StreamFacts:
        """Facts of the audio stream, which must be there."""
        assert self.facts.audio is not None, f"{self.path} has no audio"
        return self.facts.audio

    @property
    def fps(self) -> float:
        return float(self.video.frame_rate)

    def frames(
        self, *, start_s: float = 0.0, seconds: float | None = None
    ) -> Iterator[VideoPlanes]:
        """Every frame as it is stored: none dropped, none doubled; fresh read-only arrays."""
        width, height = self.video.width, self.video.height
        size = width * height * 3 // 2
        before = ["-ss", f"{start_s}"] if start_s else []
        after = ["-t", f"{seconds}"] if seconds is not None else []
        command = [
            *("ffmpeg", "-nostdin", "-v", "error", *before, "-i", str(self.path), *after),
            *("-map", "0:v:0", "-fps_mode", "passthrough"),
            *("-f", "rawvideo", "-pix_fmt", "yuv420p", "-"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=size) as process:
            assert process.stdout is not None
            try:
                while len(content := process.stdout.read(size)) == size:
                    yield _planes(content, width, height)
                assert not content, "the last frame is cut off"
            finally:
                process.stdout.close()
                process.terminate()

    def sound(self) -> NDArray[np.float32]:
        """All sound, (samples, channels) float32 at 48 kHz; sample 0 is instant 0 of the file."""
        command = [
            *("ffmpeg", "-nostdin", "-v", "error", "-i", str(self.path), "-map", "0:a:0"),
            *("-f", "f32le", "-ar", str(hearing.RATE_HZ), "-"),
        ]
        content = subprocess.run(command, capture_output=True, check=True).stdout
        pcm = np.frombuffer(content, dtype="<f4").reshape(-1, self.audio.channels)
        shift = round(self.audio.start_s * hearing.RATE_HZ)
        return np.pad(pcm, ((shift, 0), (0, 0))) if shift > 0 else pcm[-shift:]

    def watch(self, tiles: Mapping[Name, Watch]) -> dict[Name, TileHistory]:
        """Read the marks of every tile in every frame."""
        histories = {name: TileHistory() for name in tiles}
        for planes in self.frames():
            for name, tile in tiles.items():
                histories[name].add(seeing.read_tile(planes, tile))
        return histories

    def av_offsets_s(self, history: TileHistory, tone_hz: float) -> NDArray[np.float64]:
        """Flash minus beep of one person, s, one entry per second in which both are found."""
        flashes_s = seeing.flash_times(history.flashes, self.fps) + self.video.start_s
        beeps_s = hearing.beep_onsets(hearing.mono(self.sound()), tone_hz)
        return seeing.av_offsets(flashes_s, beeps_s)

    def decode_errors(self) -> str:
        """What a strict decode complains about; empty for a sound file."""
        return container.decode_errors(self.path)


def _planes(content: bytes, width: int, height: int) -> VideoPlanes:
    flat = np.frombuffer(content, dtype=np.uint8)
    luma, chroma = width * height, width * height // 4
    return VideoPlanes(
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    )
