"""In-memory media: a picture is a number, an encoded packet is a line of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.layout.scene import Scene
from worker.core.template import EncodeTemplate
from worker.errors import MediaError
from worker.ports import (
    AudioStream,
    EncodedFrame,
    EncodedPacket,
    Picture,
    Program,
    StreamKind,
    VideoStream,
)


@dataclass(frozen=True)
class FakePicture:
    number: int
    size: Size = Size(64, 36)


class FakeVideoDecoder:
    """The picture of a frame is its data as a number; b"broken" cannot be decoded."""

    def decode(self, frame: EncodedFrame) -> FakePicture:
        if frame.data == b"broken":
            raise MediaError("broken")
        return FakePicture(int(frame.data))


class FakeAudioDecoder:
    """Every packet is 20 ms of a constant."""

    def decode(self, data: bytes) -> np.ndarray:
        return np.full((960, 1), 0.1, np.float32)

    def recover(self, following: bytes, samples: int) -> np.ndarray:
        return np.zeros((samples, 1), np.float32)

    def conceal(self, samples: int) -> np.ndarray:
        return np.zeros((samples, 1), np.float32)


@dataclass
class FakeCanvas:
    scene: Scene
    pictures: Mapping[TrackId, Picture]
    repeated: bool = False
    released: int = 0
    size: Size = Size(64, 36)

    def release(self) -> None:
        self.released += 1


class FakeCompositor:
    def __init__(self) -> None:
        self.composed: list[FakeCanvas] = []

    def compose(self, scene: Scene, pictures: Mapping[TrackId, Picture]) -> FakeCanvas:
        self.composed.append(FakeCanvas(scene, dict(pictures)))
        return self.composed[-1]

    def repeat(self) -> FakeCanvas:
        last = self.composed[-1]
        self.composed.append(FakeCanvas(last.scene, last.pictures, repeated=True))
        return self.composed[-1]


class FakeVideoEncoder:
    """Holds back two frames, as a lookahead does."""

    def __init__(self, template: EncodeTemplate) -> None:
        self.stream = VideoStream(template, b"")
        self.canvases: list[FakeCanvas] = []
        self.ticks: list[int] = []
        self._inside: list[int] = []

    def encode(self, canvas: FakeCanvas, tick: int, *, keyframe: bool) -> Sequence[EncodedPacket]:
        self.canvases.append(canvas)
        self.ticks.append(tick)
        self._inside.append(tick)
        return [_packet(StreamKind.VIDEO, self._inside.pop(0))] if len(self._inside) > 2 else []

    def flush(self) -> Sequence[EncodedPacket]:
        packets = [_packet(StreamKind.VIDEO, tick) for tick in self._inside]
        self._inside.clear()
        return packets


class FakeAudioEncoder:
    def __init__(self) -> None:
        self.stream = AudioStream(48_000, 2, 128, b"")
        self.samples = 0

    def encode(self, block: np.ndarray) -> Sequence[EncodedPacket]:
        self.samples += len(block)
        return [_packet(StreamKind.AUDIO, self.samples - len(block))]

    def flush(self) -> Sequence[EncodedPacket]:
        return []


@dataclass
class FakeKit:
    compositors: list[FakeCompositor] = field(default_factory=list)
    video_encoders: list[FakeVideoEncoder] = field(default_factory=list)
    audio_encoders: list[FakeAudioEncoder] = field(default_factory=list)
    warnings: Sequence[str] = ()

    def video_decoder(self) -> FakeVideoDecoder:
        return FakeVideoDecoder()

    def audio_decoder(self) -> FakeAudioDecoder:
        return FakeAudioDecoder()

    def compositor(self, canvas: Size) -> FakeCompositor:
        self.compositors.append(FakeCompositor())
        return self.compositors[-1]

    def video_encoder(self, template: EncodeTemplate) -> FakeVideoEncoder:
        self.video_encoders.append(FakeVideoEncoder(template))
        return self.video_encoders[-1]

    def audio_encoder(self) -> FakeAudioEncoder:
        self.audio_encoders.append(FakeAudioEncoder())
        return self.audio_encoders[-1]

    def mp4(self, path: Path, program: Program) -> None:
        raise NotImplementedError

    def segments(self, program: Program) -> None:
        raise NotImplementedError

    def load_images(self, images: Sequence[str]) -> Sequence[str]:
        return self.warnings

    def still(self, canvas: object) -> bytes:
        return b"still"


def _packet(kind: StreamKind, pts: int) -> EncodedPacket:
    return EncodedPacket(kind, b"x", pts, pts, 1, keyframe=True)
