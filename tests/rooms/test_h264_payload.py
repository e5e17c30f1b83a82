from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.layout.geometry import Size
from worker.rooms.rtp.h264 import H264Format, packetise_h264, split_annex_b
from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.sps import picture_size

START = b"\0\0\0\1"


def encoded(
    width: int, height: int, frames: int = 2, *, profile: str = "baseline", pix_fmt: str = "yuv420p"
) -> list[bytes]:
    """Annex B access units by x264, parameter sets in band."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, pix_fmt
    codec.time_base = Fraction(1, 30)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "profile": profile}
    units = []
    rng = np.random.default_rng(1)
    for index in range(frames):
        frame = av.VideoFrame.from_ndarray(
            rng.integers(0, 255, (height, width, 3), dtype=np.uint8), format="rgb24"
        )
        frame.pts = index
        units += [bytes(packet) for packet in codec.encode(frame.reformat(format=pix_fmt))]
    return units + [bytes(packet) for packet in codec.encode(None)]


@pytest.mark.parametrize(
    ("width", "height", "profile", "pix_fmt"),
    [
        (640, 360, "baseline", "yuv420p"),
        (1280, 720, "high", "yuv420p"),
        (34, 18, "baseline", "yuv420p"),
        (33, 17, "high444", "yuv444p"),
        (50, 30, "high422", "yuv422p"),
    ],
)
def test_the_size_in_a_real_parameter_set_is_what_was_encoded(
    width: int, height: int, profile: str, pix_fmt: str
) -> None:
    unit = encoded(width, height, 1, profile=profile, pix_fmt=pix_fmt)[0]
    (sps,) = [nal for nal in split_annex_b(unit) if nal[0] & 0x1F == 7]
    assert picture_size(sps) == Size(width, height)


@pytest.mark.parametrize("room", [60, 500, 1200])
def test_real_frames_survive_packets_and_decode(room: int) -> None:
    h264 = H264Format()
    decoder = av.CodecContext.create("h264", "r")
    pictures = []
    for index, unit in enumerate(encoded(64, 48, 3)):
        payloads = packetise_h264(unit, max_payload_bytes=room)
        assert max(len(payload) for payload in payloads) <= room
        frame = h264.assemble(payloads)
        assert split_annex_b(frame.data) == split_annex_b(unit)
        assert frame.is_keyframe is (index == 0)
        assert frame.size == (Size(64, 48) if index == 0 else None)
        pictures += decoder.decode(av.Packet(frame.data))
    pictures += decoder.decode(None)
    assert [(picture.width, picture.height) for picture in pictures] == [(64, 48)] * 3


def test_a_keyframe_without_parameter_sets_gets_the_last_ones() -> None:
    unit = encoded(64, 48, 1)[0]
    nals = split_annex_b(unit)
    h264 = H264Format()
    h264.assemble(packetise_h264(unit, max_payload_bytes=1200))
    bare = START + START.join(nal for nal in nals if nal[0] & 0x1F == 5)
    frame = h264.assemble(packetise_h264(bare, max_payload_bytes=1200))
    assert frame.is_keyframe
    assert frame.size == Size(64, 48)
    assert [nal[0] & 0x1F for nal in split_annex_b(frame.data)] == [7, 8, 5]


def test_a_keyframe_whose_parameter_sets_never_came_is_refused() -> None:
    with pytest.raises(BadPacket):
        H264Format().assemble([b"\x65" + bytes(10)])


def test_the_parameter_set_starts_a_keyframe_but_a_bare_slice_does_not_start_a_frame() -> None:
    h264 = H264Format()
    sps, idr, delta = b"\x67\x42\xe0\x1f", b"\x65\x88", b"\x41\x9a"
    stap = b"\x78" + b"\x00\x04" + sps + b"\x00\x02" + idr
    fragment_first, fragment_later = b"\x7c\x85\x88", b"\x7c\x05\x88"
    assert [h264.starts_keyframe(p) for p in (sps, idr, stap, fragment_first)] == [True] * 4
    assert [h264.starts_keyframe(p) for p in (delta, fragment_later, b"")] == [False] * 3
    assert [h264.starts_frame(p) for p in (sps, stap, b"\x09\xf0")] == [True] * 3
    assert [h264.starts_frame(p) for p in (idr, delta, fragment_first)] == [False] * 3


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x7c\x85"],  # fragment without data
        [b"\x7c\x05\x88"],  # does not begin at the beginning
        [b"\x7c\x85\x88"],  # has no end
        [b"\x7c\x85\x88", b"\x41\x9a"],  # something else in between
        [b"\x7c\x85\x88", b"\x7c\x85\x88"],  # begins twice
        [b"\x78\x00\x05\x67"],  # aggregate longer than the packet
        [b"\x78\x00\x00"],
        [b"\x79\x00\x00\x00\x01\x67"],  # STAP-B
        [b"\x60\x00"],
    ],
)
def test_payloads_that_do_not_fit_together_are_refused(payloads: list[bytes]) -> None:
    with pytest.raises(BadPacket):
        H264Format().assemble(payloads)


def parameter_set(coded: Size, shown: Size) -> bytes:
    """An SPS of profile 66, level 3.1, for pictures of *coded*, cropped to *shown*."""

    def unsigned(value: int) -> str:
        code = bin(value + 1)[2:]
        return "0" * (len(code) - 1) + code

    numbers = (0, 0, 2, 1)
    bits = "".join(map(unsigned, numbers)) + "0"
    bits += unsigned(coded.width // 16 - 1) + unsigned(coded.height // 16 - 1) + "111"
    cropped = (0, (coded.width - shown.width) // 2, 0, (coded.height - shown.height) // 2)
    bits += "".join(map(unsigned, cropped)) + "01"
    bits += "0" * (-len(bits) % 8)
    return b"\x67\x42\xe0\x1f" + int(bits, 2).to_bytes(len(bits) // 8, "big")


LIE = parameter_set(Size(16_000, 16_000), Size(320, 240))
"""The worst of them: 2 s and 700 MB in a decoder whose limit is for what is shown."""


@pytest.mark.parametrize(
    ("coded", "shown", "is_taken"),
    [
        (Size(1920, 1088), Size(1920, 1080), True),
        (Size(4096, 2304), Size(4096, 2302), True),
        (Size(65_536, 65_536), Size(65_536, 65_536), False),
        (Size(16_000, 16_000), Size(320, 240), False),
        (Size(4112, 16), Size(4096, 16), False),
    ],
)
def test_a_parameter_set_that_lies_about_its_size_is_refused(
    coded: Size, shown: Size, is_taken: bool
) -> None:
    sps = parameter_set(coded, shown)
    if is_taken:
        assert picture_size(sps) == shown
    else:
        with pytest.raises(BadPacket, match=f"{coded.width}x{coded.height}"):
            picture_size(sps)


def fragmented(unit: bytes) -> list[bytes]:
    """*unit* in two FU-A."""
    indicator, form, middle = unit[0] & 0xE0 | 28, unit[0] & 0x1F, len(unit) // 2
    return [
        bytes((indicator, 0x80 | form)) + unit[1:middle],
        bytes((indicator, 0x40 | form)) + unit[middle:],
    ]


@pytest.mark.parametrize("form", ["single", "aggregated", "fragmented"])
@pytest.mark.parametrize("start_code", [b"\0\0\1", b"\0\0\0\1"])
def test_a_parameter_set_cannot_be_hidden_in_another_unit(form: str, start_code: bytes) -> None:
    """A decoder of byte streams finds every start code, wherever it stands."""
    hiding = b"\x06\x05\x10" + bytes(range(1, 17)) + b"\x80" + start_code + LIE
    payloads = {
        "single": [hiding],
        "aggregated": [b"\x18" + len(hiding).to_bytes(2, "big") + hiding],
        "fragmented": fragmented(hiding),
    }
    with pytest.raises(BadPacket, match="16000x16000"):
        H264Format().assemble([*payloads[form], b"\x41" + bytes(range(1, 40))])


def test_a_sender_that_puts_start_codes_into_its_packets_is_understood() -> None:
    sps, pps, idr = parameter_set(Size(64, 48), Size(64, 48)), b"\x68\xce\x3c\x80", b"\x65abc"
    frame = H264Format().assemble([sps + b"\0\0\0\1" + pps + b"\0\0\1" + idr])
    assert frame == H264Format().assemble([sps, pps, idr])
    assert (frame.is_keyframe, frame.size) == (True, Size(64, 48))


def aggregated(*units: bytes) -> bytes:
    return b"\x18" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


SMALL = parameter_set(Size(64, 48), Size(64, 48))


@pytest.mark.parametrize(
    "payloads",
    [
        [aggregated(*[SMALL] * 33)],
        [b"\0\0\1".join([SMALL] * 33)],
        [aggregated(*[b"\x01"] * 300)] * 7,
        [aggregated(*[b"\x0c"] * 300)] * 7,
        fragmented(b"\x01" + b"\0\0\1\x01" * 2049),
    ],
    ids=["parameter sets", "hidden", "slices", "filler", "fragmented"],
)
def test_a_frame_of_masses_of_tiny_units_is_refused(payloads: list[bytes]) -> None:
    """2000 packets full of parameter sets would hold up the event loop for 1.7 s."""
    with pytest.raises(BadPacket, match="too many units"):
        H264Format().assemble(payloads)


def test_a_frame_may_have_a_slice_in_each_packet() -> None:
    keyframe = [SMALL, b"\x68\xce\x3c\x80", *[b"\x65abc"] * 2046]
    assert H264Format().assemble(keyframe).is_keyframe


@given(st.binary(max_size=60))
def test_any_parameter_set_is_read_or_refused(data: bytes) -> None:
    for profile in (66, 100):
        try:
            picture_size(bytes((0x67, profile)) + data)
        except BadPacket:
            pass


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5))
def test_any_payloads_are_assembled_or_refused(payloads: list[bytes]) -> None:
    h264 = H264Format()
    for payload in payloads:
        h264.starts_keyframe(payload)
        h264.starts_frame(payload)
    try:
        h264.assemble(payloads)
    except BadPacket:
        pass
