"""A codec whose packets say which stretch of a known sound they carry."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worker.errors import MediaError

Sound = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Sample positions (n,) to samples (n,) or (n, channels)."""

DAMAGED = b"damaged"
PAUSE = b"\x08"
"""A packet that carries nothing: discontinuous transmission begins."""


def packet(timestamp: int, samples: int = 960) -> bytes:
    return struct.pack(">qi", timestamp, samples)


class FakeOpus:
    """Decodes perfectly, recovers perfectly; conceals by going on at *concealed_level*."""

    def __init__(self, sound: Sound, concealed_level: float = 1.0) -> None:
        self._sound = sound
        self._concealed_level = np.float32(concealed_level)
        self._next = 0
        self.recovered: list[int] = []
        self.concealed: list[int] = []

    def decode(self, data: bytes) -> NDArray[np.float32]:
        if data == DAMAGED:
            raise MediaError("damaged")
        if data == PAUSE:
            return np.zeros((960, 1), np.float32)
        timestamp, samples = struct.unpack(">qi", data)
        self._next = timestamp + samples
        return self._pcm(timestamp, samples)

    def recover(self, following: bytes, samples: int) -> NDArray[np.float32]:
        timestamp, _ = struct.unpack(">qi", following)
        self.recovered.append(samples)
        self._next = timestamp
        return self._pcm(timestamp - samples, samples)

    def conceal(self, samples: int) -> NDArray[np.float32]:
        assert samples % 120 == 0
        self.concealed.append(samples)
        self._next += samples
        return self._pcm(self._next - samples, samples) * self._concealed_level

    def _pcm(self, timestamp: int, samples: int) -> NDArray[np.float32]:
        sound = self._sound(np.arange(timestamp, timestamp + samples, dtype=np.int64))
        return np.asarray(sound if sound.ndim == 2 else sound[:, None], np.float32)
