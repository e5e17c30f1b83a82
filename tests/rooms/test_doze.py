"""What is opened of one microphone's datagrams, and when: 50 a second, each with its level."""

import pytest

from tests.rooms.dozing import KEPT, LOUD, MICROPHONE, PACKET_NS, SILENT, Bench, check, level
from tests.rooms.rtp_material import LEVEL_ID, OPUS_PAYLOAD_TYPE, AudioSender
from worker.core.audio.shortlist import FLOOR_DBOV
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS
from worker.rooms.receive.doze import KEPT_NS, KEPT_PACKETS, SIGN_NS, Dozes
from worker.rooms.rtp.packet import build_rtp, parse_rtp


def test_a_microphone_that_is_decoded_passes_straight() -> None:
    bench = Bench()
    bench.resting.tracks = frozenset({TrackId("another")})
    assert bench.hear(SILENT, 100) + bench.hear(LOUD, 5) == [[each] for each in bench.sent]
    assert bench.kept == []
    check(bench)


def test_silence_of_a_resting_microphone_is_kept_for_a_moment_and_nothing_is_opened() -> None:
    bench = Bench()
    first, *then = bench.hear(SILENT, KEPT)
    assert first == bench.sent[:1], "whether one is missing before it nobody knows"
    assert then == [[]] * (KEPT - 1)
    assert bench.kept == [(50 + n, arrival_ns) for n, (_, arrival_ns) in enumerate(bench.sent)][1:]


def test_the_floor_of_the_shortlist_is_silence_and_what_is_above_is_not() -> None:
    bench = Bench().asleep()
    assert all(len(opened) <= 1 for opened in bench.hear(-FLOOR_DBOV, 50))
    assert bench.hear(-FLOOR_DBOV - 1) == [bench.sent[-KEPT - 1 :]]


def test_the_first_word_brings_what_is_kept_before_it_in_order_with_its_own_arrivals() -> None:
    bench = Bench().asleep()
    (opened,) = bench.hear(LOUD)
    assert opened == bench.sent[-len(opened) :]
    assert KEPT_NS - PACKET_NS <= opened[-1][1] - opened[0][1] <= KEPT_NS + PACKET_NS
    assert bench.hear(LOUD, 3) == [[each] for each in bench.sent[-3:]]
    check(bench)


@pytest.mark.parametrize("gap_ms", [1, 5, 20, 60, 120])
def test_no_more_is_kept_than_a_decoder_may_want(gap_ms: int) -> None:
    bench = Bench()
    for _ in range(1000):
        bench.now_ns += gap_ms * NS_PER_MS - PACKET_NS
        bench.hear(SILENT)
    newest_ns = bench.now_ns
    kept = bench.waiting()
    assert len(kept) == min(KEPT_PACKETS, KEPT_NS // (gap_ms * NS_PER_MS) + 1)
    assert kept[0][1] >= newest_ns - KEPT_NS
    check(bench)


def test_a_sign_of_life_is_opened_about_three_times_a_second() -> None:
    bench = Bench()
    bench.hear(SILENT, 1500)
    signs_ns = [arrival_ns for _, arrival_ns in bench.opened[1:]]
    gaps = {b - a for a, b in zip(signs_ns, signs_ns[1:], strict=False)}
    assert all(SIGN_NS <= gap < SIGN_NS + PACKET_NS for gap in gaps), gaps
    assert signs_ns[-1] >= bench.now_ns - KEPT_NS - SIGN_NS - PACKET_NS
    check(bench)


def test_packets_of_a_pause_that_the_sender_leaves_out_are_opened_as_they_come() -> None:
    """Opus sends one every 400 ms then (RFC 7587)."""
    bench = Bench().asleep()
    for _ in range(20):
        bench.now_ns += 380 * NS_PER_MS
        bench.hear(SILENT)
    assert bench.opened[-20:] == bench.sent[-20:]
    check(bench)


def test_while_the_sequence_numbers_wrap_it_sleeps_on() -> None:
    bench = Bench(sequence=65_536 - 110)
    bench.hear(SILENT, 400)
    assert 15 < len(bench.opened) < 30
    (opened,) = bench.hear(LOUD)
    assert opened == bench.sent[-KEPT - 1 :]
    check(bench)


def test_a_microphone_that_is_decoded_again_brings_what_was_kept_with_its_next_packet() -> None:
    bench = Bench().asleep()
    assert len(bench.opened) < 10
    bench.resting.tracks -= {MICROPHONE}
    (opened,) = bench.hear(SILENT)
    assert opened == bench.sent[-KEPT - 1 :]
    assert bench.hear(SILENT, 50) == [[each] for each in bench.sent[-50:]]
    bench.resting.tracks |= {MICROPHONE}
    assert bench.hear(SILENT, KEPT - 1) == [[]] * (KEPT - 1)
    check(bench)


def test_a_gate_stands_for_one_ssrc_from_its_beginning_to_its_end() -> None:
    dozes = Dozes(Bench().resting, lambda packet, arrival_ns: None)
    dozes.begin(MICROPHONE, 1000, LEVEL_ID)
    dozes.begin(MICROPHONE, 0x01020304, LEVEL_ID)
    key = (1000).to_bytes(4, "big")
    assert dozes.gates.keys() == {key, b"\1\2\3\4"}
    sender = AudioSender(extensions=level(SILENT))
    first, second = sender.packet(), sender.packet()
    assert dozes.gates[key](first, 1) == ((first, 1),)
    assert not dozes.has_kept(parse_rtp(first), 1)
    assert dozes.gates[key](second, 2) == ()
    assert dozes.has_kept(parse_rtp(second), 2)
    dozes.end(1000)
    dozes.end(77)
    assert dozes.gates.keys() == {b"\1\2\3\4"}
    assert not dozes.has_kept(parse_rtp(second), 2)


def test_the_level_is_found_wherever_it_stands() -> None:
    bench = Bench()
    for sequence in range(30):
        packet = build_rtp(
            payload_type=OPUS_PAYLOAD_TYPE,
            sequence=sequence,
            timestamp=960 * sequence,
            ssrc=1000,
            payload=b"sealed",
            extensions={9: b"mid", 3: b"\0\1", **level(SILENT)},
        )
        bench.take(packet)
    assert len(bench.kept) == 29
