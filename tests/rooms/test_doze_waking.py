"""What wakes a microphone that dozes, and for how long."""

from random import Random

import pytest

from tests.rooms.dozing import KEPT, LOUD, MICROPHONE, PACKET_NS, SILENT, Bench, check
from tests.rooms.rtp_material import LEVEL_ID
from worker.core.timing import NS_PER_MS
from worker.rooms.receive.doze import AWAKE_NS, KEPT_PACKETS


def odd(bench: Bench, kind: str) -> bytes:
    """A packet that carries silence but is not to be trusted with it."""
    packet = bench.packet(SILENT)
    match kind:
        case "the next one after a gap":
            return bench.packet(SILENT)
        case "a marker":
            return packet[:1] + bytes((packet[1] | 0x80,)) + packet[2:]
        case "no extension":
            bench.sender.sequence -= 1
            bench.sender.extensions = {}
            return bench.sender.packet()
        case "another extension":
            bench.sender.sequence -= 1
            bench.sender.extensions = {LEVEL_ID + 1: bytes((SILENT,))}
            return bench.sender.packet()
        case "padding longer than the packet":
            return bytes((packet[0] | 0x20,)) + packet[1:-1] + b"\xff"
        case "an extension longer than the packet":
            return packet[:14] + b"\xff\xff" + packet[16:]
        case "more sources than fit":
            return bytes((packet[0] | 0x0F,)) + packet[1:]
        case "another version":
            return bytes((packet[0] & 0x3F,)) + packet[1:]
        case _:
            return packet[:12]


ODDITIES = (
    "the next one after a gap",
    "a marker",
    "no extension",
    "another extension",
    "padding longer than the packet",
    "an extension longer than the packet",
    "more sources than fit",
    "another version",
    "a header alone",
)


@pytest.mark.parametrize("kind", ODDITIES)
def test_whatever_is_odd_is_opened_and_with_it_what_was_kept(kind: str) -> None:
    bench = Bench().asleep()
    opened = bench.take(odd(bench, kind))
    assert opened == bench.sent[-KEPT - 1 :]
    check(bench)


def test_a_packet_twice_or_late_opens_everything_and_then_it_sleeps_on() -> None:
    bench = Bench().asleep()
    late, copied = bench.packet(SILENT), bench.packet(SILENT)
    assert bench.take(copied) == bench.sent[-KEPT - 1 :]
    assert bench.take(late) == [bench.sent[-1]]
    assert bench.take(copied) == [bench.sent[-1]]
    assert bench.hear(SILENT, KEPT - 1) == [[]] * (KEPT - 1)
    assert bench.take(late) == bench.sent[-KEPT:]
    assert bench.hear(SILENT, KEPT - 1) == [[]] * (KEPT - 1)


@pytest.mark.parametrize("jump", [-20_000, -5, 4000, 20_000])
def test_who_counts_anew_is_opened_until_somebody_sees_to_it(jump: int) -> None:
    """The receiver does, after a few packets, and then begins another doze."""
    bench = Bench(sequence=30_000).asleep()
    bench.sender.sequence += jump
    assert bench.hear(SILENT, 4)[1:] == [[each] for each in bench.sent[-3:]]


def test_for_two_seconds_after_a_word_silence_is_opened_too() -> None:
    bench = Bench().asleep()
    bench.hear(LOUD)
    pause = bench.hear(SILENT, 200)
    awake = AWAKE_NS // PACKET_NS - 1
    assert pause[:awake] == [[each] for each in bench.sent[-200:][:awake]]
    assert pause[awake : awake + KEPT - 1] == [[]] * (KEPT - 1)
    check(bench)


@pytest.mark.parametrize("kind", [None, "a marker", "no extension"])
def test_each_word_prolongs_that(kind: str | None) -> None:
    bench = Bench().asleep()
    bench.hear(LOUD)
    bench.hear(SILENT, 90)
    bench.take(bench.packet(LOUD) if kind is None else odd(bench, kind))
    assert all(len(opened) == 1 for opened in bench.hear(SILENT, 99))
    assert bench.hear(SILENT) == [[]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.2])
def test_each_packet_is_opened_once_or_dropped_and_told_or_kept(seed: int, loss: float) -> None:
    """Words, losses, oddities, and a microphone that is decoded for a while now and then."""
    random = Random(seed)
    bench = Bench(sequence=65_000)
    for _ in range(300):
        match random.randrange(8):
            case 0:
                bench.hear(LOUD, random.randrange(1, 20))
            case 1:
                bench.resting.tracks ^= {MICROPHONE}
            case 2:
                bench.take(odd(bench, random.choice(ODDITIES)))
            case 3:
                bench.now_ns += random.randrange(1000) * NS_PER_MS
            case _:
                for _ in range(random.randrange(150)):
                    datagram = bench.packet(SILENT)
                    if random.random() >= loss:
                        bench.take(datagram)
    kept = bench.waiting()
    assert len(bench.opened) + sum(bench.passed) == len(bench.sent)
    assert len(kept) <= KEPT_PACKETS
    check(bench)
