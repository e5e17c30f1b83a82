from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.media.material import moving_frames
from worker.core.identity import Codec
from worker.core.layout.geometry import Size
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.vp9 import Vp9Format, packetise_vp9, read_descriptor
from worker.rooms.rtp.vp9_header import join_superframe, split_superframe

SIZE = Size(96, 64)
KEY, DELTA = (frame.data for frame in moving_frames(Codec.VP9, SIZE, 2))
LARGER_KEY = moving_frames(Codec.VP9, Size(192, 128), 1)[0].data

BEGINS, ENDS, LAYERS = 0x08, 0x04, 0x20


def vp9_key(width: int, height: int, *, profile: int = 0, colour_space: int = 2) -> bytes:
    """The header of a keyframe, bit by bit, and nothing behind it."""
    fields = [(2, 2), (profile & 1, 1), (profile >> 1, 1), (0, 1), (0, 1), (1, 1), (0, 1)]
    fields += [(0x498342, 24), (colour_space, 3), (0, 1), (width - 1, 16), (height - 1, 16)]
    return packed(fields)


def vp9_delta(width: int, height: int) -> bytes:
    """The header of a predicted frame that brings its own size."""
    fields = [(2, 2), (0, 2), (0, 1), (1, 1), (1, 1), (0, 1), (0, 2), (0, 8), (0, 12), (0, 3)]
    return packed([*fields, (width - 1, 16), (height - 1, 16)])


def vp9_intra_only(width: int, height: int) -> bytes:
    """The header of a frame that predicts nothing and keeps other pictures."""
    fields = [(2, 2), (0, 2), (0, 1), (1, 1), (0, 1), (0, 1), (1, 1), (0, 2)]
    return packed([*fields, (0x498342, 24), (1, 8), (width - 1, 16), (height - 1, 16)])


def packed(fields: list[tuple[int, int]]) -> bytes:
    bits = "".join(f"{value:0{count}b}" for value, count in fields)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def whole(frame: bytes) -> list[bytes]:
    """*frame* in one payload with the shortest descriptor."""
    return [bytes((BEGINS | ENDS,)) + frame]


def layer(frame: bytes, spatial_layer: int, flags: int = BEGINS | ENDS) -> bytes:
    """*frame* as one payload of one layer, in non-flexible mode."""
    return bytes((LAYERS | flags, spatial_layer << 1, 0)) + frame


@pytest.mark.parametrize(
    ("payload", "length", "spatial_layer"),
    [
        ("0c aa", 1, 0),
        ("8c 05 aa", 2, 0),  # picture id of 7 bits
        ("8c 85 01 aa", 3, 0),  # of 15 bits
        ("cc 85 01 aa", 3, 0),  # predicted, non-flexible: no references follow
        ("ac 05 04 07 aa", 4, 2),  # layers and the index of the lowest temporal one
        ("bc 05 22 aa", 3, 1),  # flexible: without that index
        ("dc 05 02 aa", 3, 0),  # flexible and predicted: one reference
        ("dc 05 03 05 08 aa", 5, 0),  # three
        ("8e 05 00 aa", 3, 0),  # a structure that says nothing
        ("8e 05 10 0280 0168 aa", 7, 0),  # the size of one layer
        ("8e 05 30 0140 00b4 0280 0168 aa", 11, 0),  # of two
        ("8e 05 08 02 00 04 01 aa", 7, 0),  # pictures of a group: no reference, one
        ("fe 85 01 24 03 02 18 0280 0168 01 0c 01 02 03 aa", 16, 2),  # everything
    ],
)
def test_the_descriptor_ends_where_its_flags_say(
    payload: str, length: int, spatial_layer: int
) -> None:
    data = bytes.fromhex(payload)
    descriptor = read_descriptor(data)
    assert descriptor.length == length
    assert descriptor.spatial_layer == spatial_layer
    assert data[length:] == b"\xaa"


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "0c",
        "8c",
        "8c 85 01",
        "ac 05 04",
        "ac 05 04 07",
        "dc 05 03 05",
        "dc 05 03 05 09 02 aa",  # more than three references
        "8e 05 10 0280 01",
        "8e 05 f0 0280 0168 aa",  # eight sizes announced, one there
        "8e 05 08 ff aa",  # 255 pictures announced
        "8e 05 08 01 0c 01 02",  # three references announced
    ],
)
def test_a_descriptor_that_is_cut_off_or_has_nothing_behind_it_is_refused(payload: str) -> None:
    with pytest.raises(BadPacket):
        read_descriptor(bytes.fromhex(payload))


@given(st.integers(30, 1300), st.booleans())
def test_a_frame_survives_packets_of_any_size(room: int, is_keyframe: bool) -> None:
    frame = KEY if is_keyframe else DELTA
    payloads = packetise_vp9(
        frame, is_keyframe=is_keyframe, picture_id=70_000, max_payload_bytes=room
    )
    assert max(len(payload) for payload in payloads) <= room
    assembled = Vp9Format().assemble(payloads)
    assert assembled.data == frame
    assert assembled.is_keyframe is is_keyframe
    assert assembled.size == (SIZE if is_keyframe else None)


def test_only_the_first_packet_of_a_keyframe_starts_one() -> None:
    key = packetise_vp9(KEY, is_keyframe=True, picture_id=0, max_payload_bytes=500)
    delta = packetise_vp9(DELTA, is_keyframe=False, picture_id=1, max_payload_bytes=500)
    vp9 = Vp9Format()
    assert len(key) > 2
    assert [vp9.starts_keyframe(each) for each in key] == [True, *[False] * (len(key) - 1)]
    assert [vp9.starts_frame(each) for each in delta] == [True, *[False] * (len(delta) - 1)]
    assert not any(vp9.starts_keyframe(payload) for payload in delta)


def test_upper_layers_surely_start_nothing() -> None:
    """A server may have left the lower ones out, or they are on their way."""
    vp9 = Vp9Format()
    assert vp9.starts_keyframe(layer(KEY, 0))
    assert not vp9.starts_frame(layer(KEY, 1))
    assert not vp9.starts_keyframe(layer(KEY, 1))


def test_the_layers_of_a_picture_become_one_superframe() -> None:
    assembled = Vp9Format().assemble(
        [
            layer(KEY[:100], 0, BEGINS),
            layer(KEY[100:], 0, ENDS),
            layer(LARGER_KEY[:70], 1, BEGINS),
            layer(LARGER_KEY[70:80], 1, 0),
            layer(LARGER_KEY[80:], 1, ENDS),
            layer(DELTA, 2),
        ]
    )
    assert split_superframe(assembled.data) == [KEY, LARGER_KEY, DELTA]
    assert assembled.is_keyframe
    assert assembled.size == Size(192, 128), "that of the highest layer that tells one"


def test_a_picture_without_its_lower_layers_is_taken() -> None:
    assembled = Vp9Format().assemble([layer(DELTA, 2)])
    assert assembled.data == DELTA
    assert not assembled.is_keyframe


def test_hidden_frames_in_a_layer_are_counted_in() -> None:
    hidden = join_superframe([KEY, DELTA])
    assembled = Vp9Format().assemble([layer(hidden, 0), layer(DELTA, 1)])
    assert split_superframe(assembled.data) == [KEY, DELTA, DELTA]
    alone = Vp9Format().assemble(whole(hidden))
    assert alone.data == hidden
    assert alone.is_keyframe


def test_an_earlier_picture_may_be_shown_again() -> None:
    assembled = Vp9Format().assemble(whole(b"\x88\0"))
    assert (assembled.data, assembled.is_keyframe, assembled.size) == (b"\x88\0", False, None)


@pytest.mark.parametrize(
    "payloads",
    [
        [layer(KEY, 0, ENDS)],  # its beginning is missing
        [layer(KEY, 0, BEGINS)],  # its end
        [layer(KEY, 0, BEGINS), layer(KEY, 1, ENDS)],  # the end of one, the beginning of another
        [layer(KEY, 0), layer(KEY, 0, ENDS)],  # more after the end
        [layer(KEY, 1), layer(KEY, 0)],
        [layer(KEY, 0), layer(KEY, 0)],
        [layer(join_superframe([KEY] * 5), 0), layer(join_superframe([KEY] * 4), 1)],
    ],
)
def test_pieces_that_do_not_fit_together_are_refused(payloads: list[bytes]) -> None:
    with pytest.raises(BadPacket):
        Vp9Format().assemble(payloads)


@pytest.mark.parametrize("header", [vp9_key, vp9_delta, vp9_intra_only])
@pytest.mark.parametrize(
    ("width", "height"), [(65536, 65536), (4097, 16), (16, 4097), (16384, 1), (4096, 2306)]
)
def test_every_kind_of_frame_that_lies_about_its_size_is_refused(
    header: Callable[[int, int], bytes], width: int, height: int
) -> None:
    frame = header(width, height)
    for payloads in (
        whole(frame),
        [layer(KEY, 0), layer(frame, 1)],
        whole(join_superframe([KEY, frame])),
    ):
        with pytest.raises(BadPacket, match="too large"):
            Vp9Format().assemble(payloads)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (4096, 2304), (2304, 4096)])
def test_odd_and_large_sizes_are_read(width: int, height: int) -> None:
    assert Vp9Format().assemble(whole(vp9_key(width, height))).size == Size(width, height)
    assert Vp9Format().assemble(whole(vp9_delta(width, height))).size is None


@pytest.mark.parametrize("profile", [1, 2, 3])
def test_other_profiles_are_refused(profile: int) -> None:
    payloads = whole(vp9_key(640, 360, profile=profile))
    assert not Vp9Format().starts_keyframe(payloads[0])
    with pytest.raises(BadPacket, match="profile"):
        Vp9Format().assemble(payloads)


@pytest.mark.parametrize(
    "frame",
    [
        vp9_key(640, 360, colour_space=7),
        b"\x40" + KEY[1:],  # no frame marker
        KEY[:1] + b"\0" + KEY[2:],  # no sync code
        KEY[:6],
        vp9_delta(640, 360)[:4],
    ],
)
def test_a_frame_that_is_no_vp9_is_refused(frame: bytes) -> None:
    with pytest.raises(BadPacket):
        Vp9Format().assemble(whole(frame))


@pytest.mark.parametrize("sizes", [(0, 10), (10, 0), (len(KEY), 11), (0xFFFF, 0xFFFF)])
def test_a_superframe_index_that_lies_is_refused(sizes: tuple[int, int]) -> None:
    index = b"\xc9" + b"".join(size.to_bytes(2, "little") for size in sizes) + b"\xc9"
    with pytest.raises(BadPacket, match="index"):
        Vp9Format().assemble(whole(KEY + DELTA[:10] + index))


@given(st.lists(st.binary(min_size=1, max_size=70_000), min_size=1, max_size=8))
def test_what_is_joined_is_split_again(frames: list[bytes]) -> None:
    if len(frames) > 1:
        assert split_superframe(join_superframe(frames)) == frames


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_any_payloads_are_assembled_or_refused(payloads: list[bytes]) -> None:
    vp9 = Vp9Format()
    for payload in payloads:
        vp9.starts_frame(payload)
        vp9.starts_keyframe(payload)
    try:
        vp9.assemble(payloads)
    except BadPacket:
        pass


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=12), st.booleans()), max_size=6),
    st.binary(max_size=20),
)
def test_payloads_that_look_right_are_assembled_or_refused(
    pieces: list[tuple[int, bytes, bool]], tail: bytes
) -> None:
    """Any descriptor before something that begins as a frame does."""
    payloads = [
        bytes((flags,)) + fields + (KEY if is_key else DELTA)[:30] + tail
        for flags, fields, is_key in pieces
    ]
    vp9 = Vp9Format()
    for payload in payloads:
        vp9.starts_keyframe(payload)
    try:
        if payloads:
            assert len(split_superframe(vp9.assemble(payloads).data)) <= 8
    except BadPacket:
        pass
