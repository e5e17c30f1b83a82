import random
import re
import struct
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.media.material import encoded, moving_frames, moving_picture
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.errors import MediaError
from worker.media.decode import NativeVideoDecoder
from worker.media.frames import FramePicture
from worker.ports import EncodedFrame
from worker.rooms.rtp.vp9_header import join_superframe

SIZE = Size(96, 64)
VIDEO_CODECS = (Codec.VP8, Codec.VP9, Codec.H264)

CODING_ERROR = 12
"""Mean difference per pixel that 500 kbit/s leaves on noise; another frame differs by 30."""


def difference(picture: FramePicture | None, tick: int) -> float:
    assert picture is not None
    expected = moving_picture(picture.size, tick).y.astype(int)
    return float(np.abs(picture.planes.y.astype(int) - expected).mean())


def nal_units(data: bytes) -> list[bytes]:
    starts = [match.start() for match in re.finditer(b"\0\0\1", data)] + [len(data)]
    return [data[a:b] for a, b in zip(starts, starts[1:], strict=False)]


def giant_vp8(width: int, height: int) -> EncodedFrame:
    data = bytearray(moving_frames(Codec.VP8, SIZE, 1)[0].data[:67])
    data[6:10] = struct.pack("<HH", width, height)
    return encoded(Codec.VP8, bytes(data), keyframe=True)


def claiming(data: bytes, codec: Codec, width: int, height: int) -> bytes:
    """The keyframe *data* with another size in its header."""
    if codec is Codec.VP8:
        return data[:6] + struct.pack("<HH", width, height) + data[10:]
    # 36 bits of a VP9 keyframe come before its size, less one, in 2 x 16 bits.
    head = int.from_bytes(data[:9], "big")
    head = head >> 36 << 36 | width - 1 << 20 | height - 1 << 4 | head & 15
    return head.to_bytes(9, "big") + data[9:]


def resident_bytes(*, peak: bool) -> int:
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status)
    assert found is not None
    return 1024 * int(found[1])


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_every_frame_comes_out_at_once_and_looks_like_what_was_sent(codec: Codec) -> None:
    decoder = NativeVideoDecoder()
    for tick, frame in enumerate(moving_frames(codec, SIZE, 8)):
        picture = decoder.decode(frame)
        assert picture is not None and picture.size == SIZE
        assert picture.frame.format.name == "yuv420p"
        assert difference(picture, tick) < CODING_ERROR


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.VP9])
def test_the_size_may_change_with_a_keyframe_odd_and_tiny_sizes_included(codec: Codec) -> None:
    decoder = NativeVideoDecoder()
    for size in (Size(96, 64), Size(64, 96), Size(17, 33), Size(1, 1), Size(320, 180)):
        for tick, frame in enumerate(moving_frames(codec, size, 2)):
            picture = decoder.decode(frame)
            assert picture is not None and picture.size == size
            if size.width > 1:
                assert difference(picture, tick) < CODING_ERROR


def test_of_the_layers_in_a_superframe_the_highest_is_shown() -> None:
    decoder = NativeVideoDecoder()
    low = moving_frames(Codec.VP9, SIZE, 2)
    high = moving_frames(Codec.VP9, Size(192, 128), 2)
    for tick in range(2):
        both = join_superframe([low[0].data, high[0].data, *[high[1].data] * tick])
        picture = decoder.decode(replace(high[0], data=both))
        assert picture is not None and picture.size == Size(192, 128)
        assert difference(picture, tick) < CODING_ERROR


def test_a_hidden_picture_is_shown_once_it_is_told_to() -> None:
    key, delta = moving_frames(Codec.VP9, SIZE, 2)
    decoder = NativeVideoDecoder()
    hidden = bytes((key.data[0] & ~2,)) + key.data[1:]  # show_frame cleared
    assert decoder.decode(replace(key, data=hidden)) is None
    show_first_slot = b"\x88\0"
    assert difference(decoder.decode(replace(delta, data=show_first_slot)), 0) < CODING_ERROR
    assert difference(decoder.decode(delta), 1) < CODING_ERROR


def test_the_codec_may_change_with_a_keyframe_only() -> None:
    decoder = NativeVideoDecoder()
    for codec in VIDEO_CODECS:
        with pytest.raises(MediaError):
            decoder.decode(moving_frames(codec, SIZE, 2)[1])
        assert decoder.decode(moving_frames(codec, SIZE, 2)[0]) is not None
        assert difference(decoder.decode(moving_frames(codec, SIZE, 2)[1]), 1) < CODING_ERROR


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv422p", "yuv420p10le"])
def test_other_pixel_formats_are_converted(pixel_format: str) -> None:
    decoder = NativeVideoDecoder()
    for tick, frame in enumerate(moving_frames(Codec.H264, SIZE, 3, pixel_format)):
        picture = decoder.decode(frame)
        assert picture is not None and picture.frame.format.name == "yuv420p"
        assert difference(picture, tick) < CODING_ERROR


def test_full_range_is_brought_to_limited_range() -> None:
    decoder = NativeVideoDecoder()
    for tick, frame in enumerate(moving_frames(Codec.H264, SIZE, 3, "yuvj420p")):
        assert difference(decoder.decode(frame), tick) < CODING_ERROR


@pytest.mark.parametrize("size", [SIZE, Size(33, 17)])
def test_a_rotated_picture_is_turned_upright(size: Size) -> None:
    frame = moving_frames(Codec.VP8, size, 1)[0]
    plain = NativeVideoDecoder().decode(frame)
    assert plain is not None
    for degrees in (90, 180, 270):
        turned = NativeVideoDecoder().decode(replace(frame, rotation=degrees))
        assert turned is not None
        for name in ("y", "u", "v"):
            # numpy turns counter-clockwise.
            expected = np.rot90(getattr(plain.planes, name), k=4 - degrees // 90)
            np.testing.assert_array_equal(getattr(turned.planes, name), expected)


def test_a_quarter_turn_clockwise_moves_the_top_to_the_right() -> None:
    frame = moving_frames(Codec.VP8, SIZE, 1)[0]
    plain = NativeVideoDecoder().decode(frame)
    turned = NativeVideoDecoder().decode(replace(frame, rotation=90))
    assert plain is not None and turned is not None
    assert turned.size == Size(SIZE.height, SIZE.width)
    np.testing.assert_array_equal(turned.planes.y[:, -1], plain.planes.y[0])


def test_a_picture_that_claims_to_be_giant_is_refused_at_once_and_without_memory() -> None:
    # With and without the claim read from the bitstream before.
    for frame in (
        giant_vp8(16383, 16383),
        replace(giant_vp8(16383, 16383), size=Size(16383, 16383)),
        replace(moving_frames(Codec.H264, SIZE, 1)[0], size=Size(4098, 16)),
        replace(moving_frames(Codec.H264, SIZE, 1)[0], size=Size(4096, 2306)),
        replace(moving_frames(Codec.H264, SIZE, 1)[0], size=Size(0, 64)),
        replace(moving_frames(Codec.H264, SIZE, 1)[0], size=Size(64, -2)),
    ):
        decoder = NativeVideoDecoder()
        started = time.process_time()
        with pytest.raises(MediaError):
            decoder.decode(frame)
        # The bar is 10 ms; a picture of that size takes seconds.
        assert time.process_time() - started < 0.01


@pytest.mark.parametrize(
    ("codec", "width", "height"),
    [
        (Codec.VP8, 16383, 16383),
        (Codec.VP9, 65536, 65536),
        (Codec.VP9, 16384, 16384),
        (Codec.VP9, 65536, 145),
        (Codec.VP9, 4096, 2312),
    ],
)
def test_a_lie_about_the_size_costs_neither_time_nor_memory(
    codec: Codec, width: int, height: int
) -> None:
    """Each attempt: 10 ms, 10 MB. The receive side refuses these before; this is the next wall."""
    frame, delta = moving_frames(codec, SIZE, 2)
    lie = replace(frame, data=claiming(frame.data, codec, width, height), size=None)
    attempts = [(lie, [])]
    if codec is Codec.VP9:
        attempts.append((replace(delta, data=join_superframe([delta.data, lie.data])), [frame]))
    for attempt, before in attempts:
        decoder = NativeVideoDecoder()
        for each in before:
            decoder.decode(each)
        resident_before = resident_bytes(peak=False)
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew
        started = time.process_time()
        with pytest.raises(MediaError):
            decoder.decode(attempt)
        assert time.process_time() - started < 0.01
        assert resident_bytes(peak=True) - resident_before < 10_000_000


def test_a_picture_with_one_excessive_side_is_refused_after_decoding_too() -> None:
    data = bytearray(moving_frames(Codec.VP8, SIZE, 1)[0].data)
    data[6:10] = struct.pack("<HH", 9000, 1000)
    with pytest.raises(MediaError, match="9000x1000"):
        NativeVideoDecoder().decode(encoded(Codec.VP8, bytes(data), keyframe=True))


def test_portrait_and_landscape_of_the_largest_size_are_taken() -> None:
    for size in (Size(4096, 2304), Size(2304, 4096)):
        frame = replace(moving_frames(Codec.H264, SIZE, 1)[0], size=size)
        assert NativeVideoDecoder().decode(frame) is not None


@pytest.mark.parametrize(
    "frame",
    [
        encoded(Codec.VP8, b"", keyframe=True),
        encoded(Codec.OPUS, b"\0" * 20, keyframe=True),
        encoded(Codec.VP8, b"\0" * (8 * 1024 * 1024 + 1), keyframe=True),
        encoded(Codec.H264, b"\0\0\0\1\x65", keyframe=True),
        encoded(Codec.VP9, b"\xff" * 50, keyframe=True),
    ],
)
def test_nonsense_is_a_media_error(frame: EncodedFrame) -> None:
    with pytest.raises(MediaError):
        NativeVideoDecoder().decode(frame)


def test_a_turn_by_anything_but_quarters_is_a_media_error() -> None:
    with pytest.raises(MediaError):
        NativeVideoDecoder().decode(replace(moving_frames(Codec.VP8, SIZE, 1)[0], rotation=45))


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_random_bytes_raise_nothing_but_media_errors(codec: Codec) -> None:
    seed = 20240611
    source = random.Random(seed)
    frames = moving_frames(codec, SIZE, 4)
    decoder = NativeVideoDecoder()
    for _ in range(300):
        frame = source.choice(frames)
        data = bytearray(frame.data)
        for _ in range(source.randrange(1, 20)):
            data[source.randrange(len(data))] = source.randrange(256)
        del data[source.randrange(len(data)) + 1 :]
        try:
            decoder.decode(replace(frame, data=bytes(data)))
        except MediaError:
            continue


def test_an_h264_frame_that_was_cut_is_never_shown() -> None:
    frames = moving_frames(Codec.H264, SIZE, 3)
    for index in (0, 2):
        # The last bytes may belong to one macroblock, whose loss the format does not tell.
        for length in range(1, len(frames[index].data) - 64, 31):
            decoder = NativeVideoDecoder()
            for before in frames[:index]:
                decoder.decode(before)
            cut = replace(frames[index], data=frames[index].data[:length])
            # Cut before the picture itself, among parameter sets, nothing is wrong and there is
            # nothing to show.
            try:
                shown = decoder.decode(cut)
            except MediaError:
                continue
            assert shown is None
            assert not any(unit[3] & 31 in (1, 5) for unit in nal_units(cut.data) if unit[3:])


def test_an_h264_frame_that_lacks_a_slice_is_never_shown() -> None:
    options = (("x264-params", "repeat-headers=1:slices=4:sliced-threads=0"),)
    frames = moving_frames(Codec.H264, SIZE, 3, "yuv420p", options)
    for index in (0, 2):
        units = nal_units(frames[index].data)
        slices = [unit for unit in units if unit[3] & 31 in (1, 5)]
        assert len(slices) == 4
        for missing in slices:
            decoder = NativeVideoDecoder()
            for before in frames[:index]:
                decoder.decode(before)
            data = b"".join(unit for unit in units if unit is not missing)
            with pytest.raises(MediaError):
                decoder.decode(replace(frames[index], data=data))


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_after_an_error_nothing_is_shown_until_a_keyframe_decodes(codec: Codec) -> None:
    frames = moving_frames(codec, SIZE, 6)
    decoder = NativeVideoDecoder()
    decoder.decode(frames[0])
    with pytest.raises(MediaError):
        decoder.decode(replace(frames[1], data=frames[1].data[:2]))
    for frame in frames[2:]:
        with pytest.raises(MediaError):
            decoder.decode(frame)
    assert difference(decoder.decode(frames[0]), 0) < CODING_ERROR
    assert difference(decoder.decode(frames[1]), 1) < CODING_ERROR


def test_reordered_h264_is_held_back_and_not_an_error() -> None:
    options = (("preset", "medium"), ("tune", "film"))
    decoder = NativeVideoDecoder()
    pictures = [
        decoder.decode(frame) for frame in moving_frames(Codec.H264, SIZE, 8, "yuv420p", options)
    ]
    assert pictures[0] is None
    assert sum(picture is not None for picture in pictures) >= 6
