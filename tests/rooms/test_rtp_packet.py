import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.rooms.rtp.packet import BadPacket, build_rtp, header_extension, parse_rtp
from worker.rooms.rtp.rtx import unwrap_rtx, wrap_rtx

PLAIN = bytes.fromhex("80e0 1234 00010203 0a0b0c0d".replace(" ", "")) + b"payload"


def test_every_field_of_a_plain_packet_is_read() -> None:
    packet = parse_rtp(PLAIN)
    assert packet.payload_type == 96
    assert packet.marker
    assert packet.sequence == 0x1234
    assert packet.timestamp == 0x00010203
    assert packet.ssrc == 0x0A0B0C0D
    assert packet.payload == b"payload"


def test_padding_contributing_sources_and_extensions_are_no_payload() -> None:
    header = bytes.fromhex("b2 60 0001 00000000 00000001 11111111 22222222")
    extension = bytes.fromhex("bede 0001 10ff 0000")
    packet = parse_rtp(header + extension + b"data" + b"\0\0\x03")
    assert packet.payload == b"data"
    assert header_extension(packet, 1) == b"\xff"


def test_a_packet_of_padding_only_has_an_empty_payload() -> None:
    header = bytes.fromhex("a0 60 0001 00000000 00000001")
    assert parse_rtp(header + bytes(254) + b"\xff").payload == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        PLAIN[:11],
        b"\x00" + PLAIN[1:],
        bytes.fromhex("8f600001 00000000 00000001 22222222"),  # 15 sources, one there
        bytes.fromhex("90600001 00000000 00000001 bede"),  # extension header cut off
        bytes.fromhex("90600001 00000000 00000001 bedeffff 10aa0000"),  # longer than the packet
        bytes.fromhex("a0600001 00000000 00000001 0000ff"),  # padding longer than the packet
        bytes.fromhex("a0600001 00000000 00000001 000000"),  # padding of no length
    ],
)
def test_a_packet_whose_lengths_lie_is_refused(data: bytes) -> None:
    with pytest.raises(BadPacket):
        parse_rtp(data)


def test_one_byte_extensions_skip_padding_and_stop_at_fifteen() -> None:
    packet = parse_rtp(
        bytes.fromhex("90600001 00000000 00000001 bede0003 00 20aa 00 31bbcc f0dd 10ee 00")
    )
    assert header_extension(packet, 2) == b"\xaa"
    assert header_extension(packet, 3) == b"\xbb\xcc"
    assert header_extension(packet, 1) is None


def test_two_byte_extensions_may_be_empty_and_have_large_ids() -> None:
    packet = parse_rtp(
        bytes.fromhex("90600001 00000000 00000001 10000003 0100 20030a0b0c 00 0201ff 00")
    )
    assert header_extension(packet, 1) == b""
    assert header_extension(packet, 32) == b"\x0a\x0b\x0c"
    assert header_extension(packet, 2) == b"\xff"
    assert header_extension(packet, 3) is None


def test_an_extension_cut_off_by_the_header_is_absent() -> None:
    packet = parse_rtp(bytes.fromhex("90600001 00000000 00000001 bede0001 1faabbcc"))
    assert header_extension(packet, 1) is None


@given(
    st.integers(0, 63),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(min_size=1, max_size=50),
    st.dictionaries(st.integers(1, 14), st.binary(min_size=1, max_size=16), max_size=4),
)
def test_what_is_built_is_parsed_again(
    payload_type: int, sequence: int, number: int, payload: bytes, extensions: dict[int, bytes]
) -> None:
    packet = parse_rtp(
        build_rtp(
            payload_type=payload_type,
            sequence=sequence,
            timestamp=number,
            ssrc=number,
            payload=payload,
            marker=True,
            extensions=extensions,
        )
    )
    assert (packet.payload_type, packet.sequence) == (payload_type, sequence)
    assert (packet.timestamp, packet.ssrc, packet.payload) == (number, number, payload)
    for extension_id in range(1, 15):
        assert header_extension(packet, extension_id) == extensions.get(extension_id)


@given(st.binary(max_size=80))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        packet = parse_rtp(b"\x90" + data)
    except BadPacket:
        return
    for extension_id in range(256):
        header_extension(packet, extension_id)


def test_a_retransmission_brings_the_original_back() -> None:
    original = build_rtp(
        payload_type=96,
        sequence=65535,
        timestamp=9,
        ssrc=7,
        payload=b"data",
        marker=True,
        extensions={4: b"1"},
    )
    wrapped = parse_rtp(wrap_rtx(original, payload_type=97, ssrc=8, sequence=3))
    assert (wrapped.payload_type, wrapped.ssrc, wrapped.sequence) == (97, 8, 3)
    assert header_extension(wrapped, 4) == b"1"
    assert unwrap_rtx(wrapped, payload_type=96, ssrc=7) == parse_rtp(original)


def test_a_probing_retransmission_is_nothing_and_a_short_one_is_refused() -> None:
    probe = parse_rtp(build_rtp(payload_type=97, sequence=1, timestamp=0, ssrc=8, payload=b""))
    assert unwrap_rtx(probe, payload_type=96, ssrc=7) is None
    short = parse_rtp(build_rtp(payload_type=97, sequence=1, timestamp=0, ssrc=8, payload=b"x"))
    with pytest.raises(BadPacket):
        unwrap_rtx(short, payload_type=96, ssrc=7)
