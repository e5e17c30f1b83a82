"""VP8 has no checksums: what a publisher breaks itself is shown, but in its own tile alone."""

import random
from dataclasses import replace

import numpy as np

from tests.fakes.media import FakeAudioDecoder, FakeAudioEncoder, FakeVideoEncoder
from tests.fakes.room import camera, frame, person
from tests.media.material import moving_frames
from tests.support.jobs import SPEC, run, stop_at
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.core.template import EncodeTemplate
from worker.media.canvas import PooledCanvas
from worker.media.kit import PyavKit
from worker.ports import EncodedFrame, ParticipantJoined, TrackPublished

SECONDS = 4
PEOPLE = ("ada", "bob", "cid", "eve")
EVE = (slice(240, 480), slice(320, 640))
"""Rows and columns of the fourth tile of a gallery of 640 x 480."""


class KeepingEncoder(FakeVideoEncoder):
    """Keeps the brightness of every canvas it is given."""

    def __init__(self, template: EncodeTemplate) -> None:
        super().__init__(template)
        self.pictures: list[np.ndarray] = []

    def encode(self, canvas: PooledCanvas, tick: int, *, keyframe: bool):
        self.pictures.append(canvas.planes.y.copy())
        return super().encode(canvas, tick, keyframe=keyframe)


class KeepingKit(PyavKit):
    """Real decoders and the real compositor."""

    def video_encoder(self, template: EncodeTemplate) -> KeepingEncoder:
        self.encoder = KeepingEncoder(template)
        return self.encoder

    def audio_decoder(self) -> FakeAudioDecoder:
        return FakeAudioDecoder()

    def audio_encoder(self) -> FakeAudioEncoder:
        return FakeAudioEncoder()


def filmed(name: str, first: int) -> list[tuple[float, EncodedFrame]]:
    loop = moving_frames(Codec.VP8, Size(160, 120), 30)
    units = [(n / 30, loop[(first + n) % 30]) for n in range(1, SECONDS * 30)]
    start = next(n for n, (_, unit) in enumerate(units) if unit.keyframe)
    return [
        (
            at_s,
            replace(frame(name, n, at_s, keyframe=unit.keyframe), data=unit.data, size=unit.size),
        )
        for n, (at_s, unit) in enumerate(units)
        if n >= start
    ]


def damage(data: bytes, source: random.Random) -> bytes:
    """Other bytes behind the headers, so that the frame decodes to something else."""
    changed = bytearray(data)
    for _ in range(10):
        changed[source.randrange(min(40, len(data) // 2), len(data))] = source.randrange(256)
    return bytes(changed)


def canvases(*, is_broken: bool) -> list[np.ndarray]:
    source = random.Random(5)
    script = [
        (0.0, event)
        for name in PEOPLE
        for event in (ParticipantJoined(person(name)), TrackPublished(camera(name)))
    ]
    for number, name in enumerate(PEOPLE):
        for at_s, one in filmed(name, 7 * number):
            if is_broken and name == "eve" and source.random() < 0.3:
                one = replace(one, data=damage(one.data, source))
            script.append((at_s, one))
    kit = KeepingKit()

    done = run(SPEC, sorted(script, key=lambda item: item[0]), kit=kit, during=stop_at(SECONDS))

    assert done.error is None
    return kit.encoder.pictures


def test_a_broken_encoder_damages_its_own_tile_and_not_a_pixel_of_another():
    whole, broken = canvases(is_broken=False), canvases(is_broken=True)

    assert len(whole) == len(broken) == SECONDS * 30
    damaged = 0
    for tick, (expected, shown) in enumerate(zip(whole, broken, strict=True)):
        damaged += not np.array_equal(expected[EVE], shown[EVE])
        expected, shown = expected.copy(), shown.copy()
        expected[EVE] = shown[EVE] = 0
        assert np.array_equal(expected, shown), f"frame {tick}"
    assert damaged > 60, "there was something to contain"
    # And the others were really there: every tile moves.
    for rows in (slice(0, 240), slice(240, 480)):
        for columns in (slice(0, 320), slice(320, 640)):
            assert not np.array_equal(whole[60][rows, columns], whole[75][rows, columns])
