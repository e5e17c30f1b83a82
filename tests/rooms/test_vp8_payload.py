import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rooms.rtp_material import vp8_frame
from worker.core.layout.geometry import Size
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.vp8 import Vp8Format, descriptor_bytes, packetise_vp8


@pytest.mark.parametrize(
    ("payload", "length"),
    [
        ("10 aa", 1),
        ("90 00 aa", 2),
        ("90 80 05 aa", 3),  # picture id of 7 bits
        ("90 80 85 01 aa", 4),  # of 15 bits
        ("90 c0 05 01 aa", 4),  # and a temporal level index
        ("90 f0 85 01 02 60 aa", 6),  # everything
        ("90 10 60 aa", 3),  # key index alone
    ],
)
def test_the_descriptor_ends_where_its_flags_say(payload: str, length: int) -> None:
    data = bytes.fromhex(payload)
    assert descriptor_bytes(data) == length
    assert data[length:] == b"\xaa"


@pytest.mark.parametrize("payload", ["", "10", "9080", "908085", "90f0850102", "90f085010260"])
def test_a_descriptor_without_data_behind_it_is_refused(payload: str) -> None:
    with pytest.raises(BadPacket):
        descriptor_bytes(bytes.fromhex(payload))


@given(st.integers(10, 5000), st.integers(20, 1200), st.booleans())
def test_a_frame_survives_packets_of_any_size(size: int, room: int, is_keyframe: bool) -> None:
    frame = vp8_frame(7, is_keyframe=is_keyframe, size=size)
    payloads = packetise_vp8(frame, picture_id=70_000, max_payload_bytes=room)
    assert max(len(payload) for payload in payloads) <= room
    assembled = Vp8Format().assemble(payloads)
    assert assembled.data == frame
    assert assembled.is_keyframe is is_keyframe
    assert assembled.size == (Size(640, 360) if is_keyframe else None)


def test_only_the_first_packet_of_a_keyframe_starts_one() -> None:
    key = packetise_vp8(vp8_frame(0, is_keyframe=True), picture_id=0, max_payload_bytes=1010)
    delta = packetise_vp8(vp8_frame(1, is_keyframe=False), picture_id=1, max_payload_bytes=1010)
    vp8 = Vp8Format()
    assert [vp8.starts_keyframe(payload) for payload in key] == [True, False, False]
    assert [vp8.starts_frame(payload) for payload in delta] == [True, False, False]
    assert not any(vp8.starts_keyframe(payload) for payload in delta)


def test_a_frame_without_its_first_packet_is_refused() -> None:
    payloads = packetise_vp8(vp8_frame(0, is_keyframe=True), picture_id=0, max_payload_bytes=999)
    with pytest.raises(BadPacket):
        Vp8Format().assemble(payloads[1:])


@pytest.mark.parametrize(
    ("width", "height"), [(0, 360), (640, 0), (4097, 16), (16, 4097), (16383, 16383), (4096, 2306)]
)
def test_a_keyframe_that_lies_about_its_size_is_refused(width: int, height: int) -> None:
    frame = vp8_frame(0, is_keyframe=True, width=width, height=height)
    with pytest.raises(BadPacket):
        Vp8Format().assemble(packetise_vp8(frame, picture_id=0, max_payload_bytes=1000))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (17, 33), (4096, 2304), (2304, 4096)])
def test_odd_and_large_sizes_are_read(width: int, height: int) -> None:
    frame = vp8_frame(0, is_keyframe=True, width=width, height=height)
    assembled = Vp8Format().assemble(packetise_vp8(frame, picture_id=0, max_payload_bytes=1000))
    assert assembled.size == Size(width, height)


def test_a_keyframe_without_a_start_code_is_refused() -> None:
    with pytest.raises(BadPacket):
        Vp8Format().assemble([b"\x10" + b"\x10\0\0" + bytes(20)])


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5))
def test_any_payloads_are_assembled_or_refused(payloads: list[bytes]) -> None:
    vp8 = Vp8Format()
    for payload in payloads:
        vp8.starts_keyframe(payload)
    try:
        vp8.assemble(payloads)
    except BadPacket:
        pass
