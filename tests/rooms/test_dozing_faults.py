"""What goes wrong while a microphone dozes: loss, forgery, copies, a sender that counts anew."""

from dataclasses import replace

import pytest

from tests.rooms.dozing import KEPT, LOUD, PACKET_NS, SILENT, Room
from tests.rooms.rtp_material import AUDIO, OPUS_PAYLOAD_TYPE
from worker.core.identity import Codec
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.media import MediaCodec

REPAIRED = replace(AUDIO, codecs=(MediaCodec(OPUS_PAYLOAD_TYPE, Codec.OPUS, feedback=("nack",)),))
MINUTE = 60 * 50


def lossy(room: Room) -> Room:
    """One of the packets is lost while nobody speaks, and sent again when it is asked for."""
    room.hear(SILENT, 200)
    lost = room.packet(SILENT)
    room.wait()
    room.hear(SILENT, 2)
    room.come(lost)
    room.hear(SILENT, 200)
    room.packet(SILENT)
    room.wait()
    room.hear(SILENT, 200)
    room.hear(LOUD, 10)
    return room


def test_a_loss_is_noticed_asked_for_and_reported_as_if_nobody_dozed() -> None:
    dozing, awake = lossy(Room(REPAIRED)), lossy(Room(REPAIRED, rests=False))
    assert dozing.srtp.calls < awake.srtp.calls / 3
    assert dozing.nacks == awake.nacks
    assert dozing.nacks[0] == (NS_PER_S + 201 * PACKET_NS + 5 * NS_PER_MS, (250,))
    assert {sequences for _, sequences in dozing.nacks} == {(250,), (453,)}
    for name in ("packets_received", "packets_lost", "packets_recovered", "nacks_sent"):
        assert getattr(dozing.statistics, name) == getattr(awake.statistics, name), name
    assert (awake.statistics.packets_lost, awake.statistics.packets_recovered) == (1, 1)
    assert set(dozing.heard) < set(awake.heard)
    assert dozing.heard[-36:] == awake.heard[-36:]
    assert [b.packets_lost for b in dozing.blocks] == [b.packets_lost for b in awake.blocks]


@pytest.mark.parametrize("ahead", [0, 1, 100])
@pytest.mark.parametrize("minus_dbov", [SILENT, LOUD])
def test_a_forged_packet_costs_nothing_but_more_opened_ones(minus_dbov: int, ahead: int) -> None:
    """With the number and all else of the next one, or of one that is still to come."""
    room = Room(REPAIRED)
    room.hear(SILENT, 200)
    genuine = replace(room.sender)
    room.sender.sequence += ahead
    room.come(room.packet(minus_dbov), b"?")
    room.sender = genuine
    before = room.hear(SILENT, 300)
    assert room.srtp.calls < 200 + ahead
    word = room.hear(LOUD, 40)
    assert room.heard[-KEPT - 40 :] == [*before[-KEPT:], *word]
    assert room.path.counters.unauthentic == 1
    assert room.nacks == []
    assert (room.statistics.packets_received, room.statistics.packets_lost) == (540, 0)


def test_a_packet_forged_just_before_a_word_takes_nothing_from_it() -> None:
    room = Room()
    before = room.hear(SILENT, 200)
    genuine = replace(room.sender)
    room.come(room.packet(SILENT), b"?")
    room.sender = genuine
    word = room.hear(LOUD, 40)
    assert room.heard[-KEPT - 39 :] == [*before[-KEPT + 1 :], *word]
    assert room.path.counters.unauthentic == 1


@pytest.mark.parametrize("jump", [-20_000, -500, 3500, 20_000])
def test_a_microphone_that_counts_anew_is_followed_while_it_dozes(jump: int) -> None:
    room = Room()
    room.sender.sequence = 30_000
    room.hear(SILENT, 200)
    room.sender.sequence += jump
    room.hear(SILENT, 200)
    assert room.frames[-1].arrival_ns > room.now_ns - NS_PER_S
    opened = room.srtp.calls
    before = room.hear(SILENT, MINUTE)
    assert room.srtp.calls - opened < MINUTE / 10
    word = room.hear(LOUD, 40)
    assert room.heard[-KEPT - 40 :] == [*before[-KEPT:], *word]
    assert room.statistics.packets_lost == 0


def test_packets_that_come_late_and_twice_are_told_from_the_next_ones() -> None:
    room = Room()
    room.hear(SILENT, 200)
    for _ in range(20):
        late, copied = room.packet(SILENT), room.packet(SILENT)
        for packet in (copied, late, copied):
            room.come(packet)
        room.wait(2 * PACKET_NS)
        room.hear(SILENT, 100)
    room.hear(LOUD)
    statistics = room.statistics
    assert statistics.packets_received == 200 + 20 * 102 + 1
    assert statistics.packets_duplicated == 20
    assert (statistics.packets_lost, statistics.packets_discarded) == (0, 0)
    assert room.srtp.calls < 1500
