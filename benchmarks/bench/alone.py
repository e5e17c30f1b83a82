"""The lower bound: decoding everything and encoding the result, with nothing in between.

The worker's own decoders and encoders, called a second of media at a time on one thread, so that
caches are warm and nobody waits for anybody. Composing is measured too, but is not in the sum.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np

from bench.cases import Case
from bench.streams import PersonLoops, loops_of
from worker.core.identity import TrackId
from worker.core.layout.geometry import Fit
from worker.core.layout.scene import Scene, Tile
from worker.core.timing import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from worker.media.aac import AacEncoder
from worker.media.compose import TileCompositor
from worker.media.decode import NativeVideoDecoder
from worker.media.encode import EncoderSettings, X264Encoder
from worker.media.frames import FramePicture
from worker.media.images import ImageLibrary
from worker.media.opus import OpusDecoder
from worker.ports import EncodedFrame

BOUND = ("decode_video", "decode_audio", "encode_video", "encode_audio")
"""The stages whose sum nobody gets below with these codecs and settings."""

_SETTLE_S = 0.03
"""The encoder's own threads may still be at the last frame when its call returns."""
_BLOCKS_PER_S = SAMPLE_RATE_HZ // BLOCK_SAMPLES


def measure(case: Case, seconds: int) -> dict[str, float]:
    """CPU seconds per second of output by stage; the first second only warms up."""
    spent_s: Counter[str] = Counter()
    stages = _Stages(case, loops_of(case), spent_s)
    for second in range(seconds + 1):
        if second == 1:
            spent_s.clear()
        stages.work(second)
    return {stage: used_s / seconds for stage, used_s in spent_s.items()}


class _Stages:
    """Everybody's decoders, one compositor, the encoders."""

    def __init__(self, case: Case, people: Sequence[PersonLoops], spent_s: Counter[str]) -> None:
        template = case.template
        self._case = case
        self._people = people
        self._spent_s = spent_s
        self._video = [NativeVideoDecoder() for _ in people]
        self._audio = [OpusDecoder() for _ in people]
        self._tracks = [TrackId(str(index)) for index in range(len(people))]
        self._scene = _gallery(case, self._tracks)
        self._compositor = TileCompositor(template.size, ImageLibrary(), canvases=template.fps + 2)
        self._encoder = X264Encoder(template, EncoderSettings())
        self._aac = AacEncoder()

    def work(self, second: int) -> None:
        """Everything of one second of output."""
        case, fps = self._case, self._case.template.fps
        with self._timed("decode_video"):
            films = [
                self._pictures(index, second * case.source_fps) for index in range(case.people)
            ]
        with self._timed("decode_audio"):
            sounds = [self._sound(index, second) for index in range(case.people)]
        mixed = np.clip(np.sum(sounds, axis=0), -1, 1)
        with self._timed("compose"):
            canvases = [
                self._compositor.compose(
                    self._scene,
                    {
                        track: film[tick * len(film) // fps]
                        for track, film in zip(self._tracks, films, strict=True)
                    },
                )
                for tick in range(fps)
            ]
        with self._timed("encode_video"):
            for tick, canvas in enumerate(canvases, start=second * fps):
                self._encoder.encode(canvas, tick, keyframe=False)
        with self._timed("encode_audio"):
            self._aac.encode(np.repeat(mixed, 2, axis=1))
        for canvas in canvases:
            canvas.release()

    def _pictures(self, index: int, first: int) -> list[FramePicture]:
        person, decoder = self._people[index], self._video[index]
        units = [person.video[(first + n) % len(person.video)] for n in range(person.feed.fps)]
        decoded = (
            decoder.decode(
                EncodedFrame(
                    track_id=self._tracks[index],
                    codec=person.feed.codec,
                    epoch=0,
                    rtp_timestamp=0,
                    arrival_ns=0,
                    keyframe=unit.keyframe,
                    data=unit.data,
                )
            )
            for unit in units
        )
        return [picture for picture in decoded if picture is not None]

    def _sound(self, index: int, second: int) -> np.ndarray:
        loop, decoder = self._people[index].audio, self._audio[index]
        first = second * _BLOCKS_PER_S % len(loop)
        return np.concatenate(
            [decoder.decode(unit.data) for unit in islice(loop, first, first + _BLOCKS_PER_S)]
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        before_s = time.process_time()
        yield
        time.sleep(_SETTLE_S)
        self._spent_s[stage] += time.process_time() - before_s


def _gallery(case: Case, tracks: Sequence[TrackId]) -> Scene:
    tiles = (
        Tile(box, Fit.COVER, None, track, None, "")
        for box, track in zip(case.boxes, tracks, strict=True)
    )
    return Scene(case.template.size, None, tuple(tiles))
