"""Frames nobody's encoder made, through the real decoders: no crash, no leak, no wrong picture."""

import random
import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.media.material import moving_frames
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.errors import MediaError
from worker.media.decode import MAX_PIXELS, MAX_SIDE_PX, NativeVideoDecoder
from worker.ports import EncodedFrame

CODECS = (Codec.VP8, Codec.VP9, Codec.H264)
SIZE = Size(96, 64)
GROWTH_KB = 28 << 10
"""Two pictures of the largest size, which the allocator may keep; more would be a leak."""


@dataclass
class Outcome:
    shown: int = 0
    held: int = 0
    refused: int = 0


def mutated(codec: Codec, seed: int, count: int) -> Iterator[EncodedFrame]:
    """Frames in a plausible order with bits, bytes, runs and ends changed, some not at all."""
    source = random.Random(seed)
    frames = moving_frames(codec, SIZE, 12)
    for number in range(count):
        frame = frames[number % len(frames)]
        data = bytearray(frame.data)
        for _ in range(source.choice((0, 1, 1, 2, 5, 20))):
            at = source.randrange(len(data))
            # Headers are where the sizes, counts and offsets are.
            at = at if source.random() < 0.5 else at % 24
            match source.randrange(5):
                case 0:
                    data[at] ^= 1 << source.randrange(8)
                case 1:
                    data[at] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    data[at : at + 4] = source.randbytes(4)
                case 3:
                    del data[at : at + source.randrange(1, 9)]
                case 4:
                    data[at:at] = source.randbytes(source.randrange(1, 9))
            data = data or bytearray(b"\0")
        if source.random() < 0.1:
            del data[source.randrange(len(data)) + 1 :]
        # What is called a keyframe is so by the bitstream alone; it may be wrong as well.
        keyframe = frame.keyframe if source.random() < 0.95 else not frame.keyframe
        yield replace(frame, data=bytes(data), keyframe=keyframe, size=None)


def feed(codec: Codec, seed: int, count: int) -> Outcome:
    decoder = NativeVideoDecoder()
    outcome = Outcome()
    for number, frame in enumerate(mutated(codec, seed, count)):
        where = f"{codec.value}, seed {seed}, frame {number}"
        try:
            picture = decoder.decode(frame)
        except MediaError:
            outcome.refused += 1
            decoder.decode(moving_frames(codec, SIZE, 12)[0])  # or all the rest would be refused
            continue
        if picture is None:
            outcome.held += 1
            continue
        outcome.shown += 1
        width, height = picture.size.width, picture.size.height
        assert 0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX, where
        assert width * height <= MAX_PIXELS, where
        planes = picture.planes
        assert planes.y.shape == (height, width), where
        assert planes.u.shape == planes.v.shape == (-(-height // 2), -(-width // 2)), where
        for plane in (planes.y, planes.u, planes.v):
            plane[-1].tobytes()  # memory to its end
    return outcome


def resident_kb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() >> 10


@pytest.mark.parametrize("codec", CODECS)
def test_three_thousand_mutated_frames_do_no_harm(codec: Codec) -> None:
    feed(codec, 1, 500)
    before_kb = resident_kb()
    outcome = feed(codec, 2, 3000)

    assert outcome.shown > 100, "mutations that leave something to decode"
    assert outcome.refused > 300, "and mutations that do not"
    assert resident_kb() - before_kb < GROWTH_KB


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("codec", CODECS)
def test_a_hundred_thousand_mutated_frames_do_no_harm(codec: Codec) -> None:
    feed(codec, 3, 5000)
    before_kb = resident_kb()
    outcome = feed(codec, 4, 100_000)

    print(f"{codec.value}: {outcome}, {resident_kb() - before_kb} kB more")
    assert outcome.shown > 3000
    assert resident_kb() - before_kb < GROWTH_KB


def test_pictures_that_lie_about_their_size_cost_no_memory() -> None:
    giant = bytearray(moving_frames(Codec.VP8, SIZE, 1)[0].data[:67])
    giant[6:10] = b"\xff\x3f\xff\x3f"
    frame = replace(moving_frames(Codec.VP8, SIZE, 1)[0], data=bytes(giant), size=None)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(50):
        with pytest.raises(MediaError):
            NativeVideoDecoder().decode(frame)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 10 << 10
