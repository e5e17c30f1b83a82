"""Opus packets to PCM through libopus, with its error correction and concealment.

libopus is the system's, else the copy inside PyAV's wheel; without either FFmpeg's decoder
stands in, which knows neither: a loss is then faded out.

Channels: mono until the first stereo packet, stereo from then on. Senders switch between the two
whenever the encoder finds it cheaper; libopus widens mono packets itself, and following every
switch with a new decoder would click each time.
"""

import ctypes
import ctypes.util
from functools import cache
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.stream import Stream
from numpy.typing import NDArray

from worker.core.timing import SAMPLE_RATE_HZ
from worker.errors import InternalError, MediaError
from worker.media.opus_packet import describe

_STEP_SAMPLES = 120
"""libopus conceals in multiples of 2.5 ms, 120 ms at most."""
_MOST_SAMPLES = 5760
_FADE_SAMPLES = 240
"""5 ms: short enough to hide a step, too short to be heard as sound."""


class _Backend(Protocol):
    def decode(self, data: bytes, samples: int) -> NDArray[np.float32]: ...

    def stand_in(self, following: bytes | None, samples: int) -> NDArray[np.float32]: ...


class OpusDecoder:
    """`ports.AudioDecoder`: 48 kHz float32 (samples, channels). Not thread-safe; one per track."""

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """*library*: a libopus from `load`; None takes the best there is."""
        self._library = library if library is not None else libopus()
        self._channels = 1
        self._backend = self._make(self._channels)

    def decode(self, data: bytes) -> NDArray[np.float32]:
        """PCM of one packet, 2.5 to 120 ms. Raises `MediaError`."""
        samples = self._adopt(data)
        return self._backend.decode(data, samples)

    def recover(self, following: bytes, samples: int) -> NDArray[np.float32]:
        """PCM of the *samples* lost before *following*, from its in-band FEC where it has some.

        What lies further back than the FEC reaches is concealed. Raises `MediaError` when
        *following* is no Opus packet.
        """
        self._adopt(following)
        return self._stand_in(following, samples)

    def conceal(self, samples: int) -> NDArray[np.float32]:
        """PCM that continues what was heard.

        It dies away slowly (a pure tone loses 20 dB in a second), so whoever misses more than
        100 ms or so had better fade to silence.
        """
        return self._stand_in(None, samples)

    def _stand_in(self, following: bytes | None, samples: int) -> NDArray[np.float32]:
        if samples < 0:
            raise InternalError(f"{samples} samples cannot be concealed")
        runs: list[NDArray[np.float32]] = []
        missing = -(-samples // _STEP_SAMPLES) * _STEP_SAMPLES
        while missing > _MOST_SAMPLES:
            runs.append(self._backend.stand_in(None, _MOST_SAMPLES))
            missing -= _MOST_SAMPLES
        if missing:
            runs.append(self._backend.stand_in(following, missing))
        if not runs:
            return np.zeros((0, self._channels), np.float32)
        # An odd count gives up its first samples: the end has to meet the next packet.
        return np.concatenate(runs)[-samples:]

    def _adopt(self, data: bytes) -> int:
        packet = describe(data)
        if packet.is_stereo and self._channels == 1:
            self._channels = 2
            self._backend = self._make(2)
        return packet.samples

    def _make(self, channels: int) -> _Backend:
        if self._library is None:
            return _FFmpegOpus(channels)
        return _LibOpus(self._library, channels)


class _LibOpus:
    """One `OpusDecoder` of the C library."""

    def __init__(self, library: ctypes.CDLL, channels: int) -> None:
        self._library = library
        self._channels = channels
        error = ctypes.c_int()
        self._state = library.opus_decoder_create(SAMPLE_RATE_HZ, channels, ctypes.byref(error))
        if not self._state or error.value:
            raise InternalError(f"libopus refused a decoder: error {error.value}")

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)

    def decode(self, data: bytes, samples: int) -> NDArray[np.float32]:
        return self._run(data, samples, 0)

    def stand_in(self, following: bytes | None, samples: int) -> NDArray[np.float32]:
        return self._run(following, samples, 1 if following is not None else 0)

    def _run(self, data: bytes | None, samples: int, from_fec: int) -> NDArray[np.float32]:
        pcm = np.empty((samples, self._channels), np.float32)
        done = self._library.opus_decode_float(
            self._state,
            data,
            0 if data is None else len(data),
            pcm.ctypes.data,
            samples,
            from_fec,
        )
        if done != samples:
            raise MediaError(f"Opus packet does not decode: {done} instead of {samples} samples")
        return pcm


class _FFmpegOpus:
    """FFmpeg's decoder, where no libopus can be loaded."""

    def __init__(self, channels: int) -> None:
        context = av.CodecContext.create("opus", "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = SAMPLE_RATE_HZ
        context.layout = "mono" if channels == 1 else "stereo"
        self._context = context
        self._channels = channels
        self._last = np.zeros(channels, np.float32)

    def decode(self, data: bytes, samples: int) -> NDArray[np.float32]:
        packet: av.Packet[Stream] = av.Packet(len(data))
        packet.update(data)
        try:
            frames = self._context.decode(packet)
        except av.FFmpegError as exc:
            raise MediaError(f"Opus packet does not decode: {exc.strerror}") from exc
        runs = [np.asarray(frame.to_ndarray(), np.float32).T for frame in frames]
        decoded = np.concatenate(runs) if runs else np.zeros((0, self._channels), np.float32)
        # Its resampler keeps some samples back at the start and gives them later: right-aligned,
        # the output has the length the packet says.
        pcm = np.zeros((samples, self._channels), np.float32)
        kept = min(samples, len(decoded))
        if kept:
            pcm[samples - kept :] = decoded[len(decoded) - kept :]
        self._last = pcm[-1]
        return pcm

    def stand_in(self, following: bytes | None, samples: int) -> NDArray[np.float32]:
        pcm = np.zeros((samples, self._channels), np.float32)
        fade = min(samples, _FADE_SAMPLES)
        pcm[:fade] = np.linspace(1.0, 0.0, fade, dtype=np.float32)[:, None] * self._last
        self._last = np.zeros(self._channels, np.float32)
        return pcm


@cache
def libopus() -> ctypes.CDLL | None:
    """The system's libopus, else the one PyAV's wheel carries, else None. Loaded once."""
    return next((library for name in candidates() if (library := load(name)) is not None), None)


def load(name: str) -> ctypes.CDLL | None:
    """The library called *name*, or None when it is missing or is not libopus."""
    try:
        library = ctypes.CDLL(name)
        _declare(library)
    except (OSError, AttributeError):
        return None
    return library


def candidates() -> list[str]:
    """Names of libraries to try: the system's, then what PyAV's wheel carries."""
    system = [name for name in (ctypes.util.find_library("opus"), "libopus.so.0") if name]
    package = Path(av.__file__).parent
    carried = [
        str(path)
        for folder in (package.parent / "av.libs", package / ".dylibs")
        for path in sorted(folder.glob("libopus*"))
    ]
    return system + carried


def _declare(library: ctypes.CDLL) -> None:
    library.opus_decoder_create.restype = ctypes.c_void_p
    library.opus_decoder_create.argtypes = [
        ctypes.c_int32,
        ctypes.c_int,
        ctypes.POINTER(ctypes.c_int),
    ]
    library.opus_decoder_destroy.restype = None
    library.opus_decoder_destroy.argtypes = [ctypes.c_void_p]
    library.opus_decode_float.restype = ctypes.c_int
    library.opus_decode_float.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int,
    ]
