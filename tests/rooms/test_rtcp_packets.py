from struct import unpack

import pytest
from aiortc import rtp as reference
from hypothesis import given
from hypothesis import strategies as st

from worker.rooms.rtp.packet import BadPacket
from worker.rooms.rtp.rtcp import (
    ByePacket,
    CnamePacket,
    FirPacket,
    NackPacket,
    PliPacket,
    ReceiverReportPacket,
    RembPacket,
    ReportBlock,
    SenderReportPacket,
    build_bye,
    build_cname,
    build_fir,
    build_nack,
    build_pli,
    build_receiver_report,
    build_remb,
    build_sender_report,
    ns_to_ntp,
    ntp_to_ns,
    pack_compounds,
    parse_rtcp,
)

BLOCK = ReportBlock(
    ssrc=5,
    fraction_lost=64,
    packets_lost=-3,
    highest_sequence=0x1FFFF,
    jitter=77,
    last_report=0x12345678,
    delay_since_report=65536,
)
SENDER_REPORT = SenderReportPacket(
    ssrc=1,
    ntp=0xE0000000_80000000,
    rtp_timestamp=4,
    packet_count=5,
    octet_count=6,
    reports=(BLOCK,),
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (build_sender_report(SENDER_REPORT), SENDER_REPORT),
        (
            build_receiver_report(ReceiverReportPacket(9, (BLOCK, BLOCK))),
            ReceiverReportPacket(9, (BLOCK, BLOCK)),
        ),
        (build_bye([1, 2]), ByePacket((1, 2))),
        (build_cname(3, "someone"), CnamePacket(((3, "someone"),))),
        (build_pli(1, 2), PliPacket(1, 2)),
        (build_fir(1, 2, 257), FirPacket(1, ((2, 1),))),
        (build_nack(1, 2, [65534, 65535, 0, 14, 40]), NackPacket(1, 2, (65534, 65535, 0, 14, 40))),
        (build_remb(1, 262_143, [2, 3]), RembPacket(1, 262_143, (2, 3))),
    ],
)
def test_what_is_built_is_parsed_again(data: bytes, expected: object) -> None:
    assert parse_rtcp(data) == [expected]


def test_another_implementation_reads_what_we_build() -> None:
    nack, pli, report = reference.RtcpPacket.parse(
        build_nack(1, 2, [10, 11, 27]) + build_pli(3, 4) + build_sender_report(SENDER_REPORT)
    )
    assert isinstance(nack, reference.RtcpRtpfbPacket)
    assert nack.lost == [10, 11, 27]
    assert isinstance(pli, reference.RtcpPsfbPacket)
    assert (pli.fmt, pli.media_ssrc) == (reference.RTCP_PSFB_PLI, 4)
    assert isinstance(report, reference.RtcpSrPacket)
    assert report.reports[0].packets_lost == -3
    (remb,) = reference.RtcpPacket.parse(build_remb(1, 3_250_000, [2, 3]))
    assert isinstance(remb, reference.RtcpPsfbPacket)
    bitrate, ssrcs = reference.unpack_remb_fci(remb.fci)
    assert bitrate == pytest.approx(3_250_000, rel=1e-4)
    assert ssrcs == [2, 3]


def test_seventeen_neighbours_share_one_nack_entry() -> None:
    data = build_nack(1, 2, range(100, 117))
    assert len(data) == 16
    assert unpack("!HH", data[12:]) == (100, 0xFFFF)


def test_a_compound_is_read_in_order_and_unknown_packets_are_skipped() -> None:
    extended_report = bytes.fromhex("80cf0001 00000001")
    packets = parse_rtcp(build_pli(1, 2) + extended_report + build_bye([9]))
    assert packets == [PliPacket(1, 2), ByePacket((9,))]


def test_a_length_that_lies_ends_the_compound_but_keeps_what_came_before() -> None:
    assert parse_rtcp(build_pli(1, 2) + bytes.fromhex("81cb00ff 00000001")) == [PliPacket(1, 2)]


def test_counts_larger_than_the_packet_are_cut() -> None:
    bye_of_31 = bytes.fromhex("9fcb0001 00000007")
    report_of_31 = bytes.fromhex("9fc90001 00000007")
    assert parse_rtcp(bye_of_31) == [ByePacket((7,))]
    assert parse_rtcp(report_of_31) == [ReceiverReportPacket(7, ())]


def test_a_giant_nack_is_bounded() -> None:
    (nack,) = parse_rtcp(build_nack(1, 2, range(0, 60000, 17)))
    assert isinstance(nack, NackPacket)
    assert len(nack.sequences) == 1024


def test_what_is_not_rtcp_is_refused() -> None:
    for data in (b"", b"\x80\xc8\x00", b"\x00\xc8\x00\x00"):
        with pytest.raises(BadPacket):
            parse_rtcp(data)


@given(st.lists(st.tuples(st.integers(0, 31), st.integers(190, 210), st.binary(max_size=40))))
def test_any_bytes_in_any_packet_are_parsed_or_skipped(
    packets: list[tuple[int, int, bytes]],
) -> None:
    data = b"".join(
        bytes((0x80 | count, kind))
        + (len(body) // 4).to_bytes(2, "big")
        + body[: len(body) // 4 * 4]
        for count, kind, body in packets
    )
    try:
        parse_rtcp(data)
    except BadPacket:
        assert not data


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_parsed_or_refused(data: bytes) -> None:
    try:
        parse_rtcp(b"\x8f" + data)
    except BadPacket:
        pass


def test_ntp_and_nanoseconds_convert_both_ways() -> None:
    assert ntp_to_ns(0x0000000A_80000000) == 10_500_000_000
    assert ns_to_ntp(10_500_000_000) == 0x0000000A_80000000


def test_compounds_stay_below_the_mtu_and_in_order() -> None:
    packets = [build_nack(1, index, range(0, 1700, 17)) for index in range(5)]
    compounds = pack_compounds(packets)
    assert b"".join(compounds) == b"".join(packets)
    assert len(compounds) == 3
    assert all(len(compound) <= 1200 for compound in compounds)
