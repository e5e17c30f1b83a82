"""A resting microphone through path and receiver: cheap, and nobody can tell that it was."""

from dataclasses import replace

from tests.rooms.dozing import KEPT, LOUD, MICROPHONE, SILENT, Room
from tests.rooms.rtp_material import AUDIO, OPUS_PAYLOAD_TYPE, AudioSender
from worker.core.identity import Codec, TrackId
from worker.core.timing import NS_PER_S
from worker.rooms.media import MediaCodec
from worker.rooms.rtp.rtcp import build_bye

REPAIRED = replace(AUDIO, codecs=(MediaCodec(OPUS_PAYLOAD_TYPE, Codec.OPUS, feedback=("nack",)),))
OTHER = replace(AUDIO, mid="2", ssrcs=(4000,))
MINUTE = 60 * 50


def test_of_a_minute_of_silence_next_to_nothing_is_decrypted_and_nothing_counts_as_lost() -> None:
    room = Room(REPAIRED)
    room.hear(SILENT, MINUTE)
    assert MINUTE / 20 < room.srtp.calls < MINUTE / 10
    assert len(room.frames) == room.srtp.calls
    assert room.nacks == []
    assert len(room.blocks) == 60
    assert {(block.fraction_lost, block.packets_lost) for block in room.blocks} == {(0, 0)}
    statistics = room.statistics
    assert statistics.packets_lost == 0
    assert statistics.packets_unopened == statistics.packets_received - room.srtp.calls
    assert MINUTE - statistics.packets_received <= KEPT + 15, "kept still, and dropped since a sign"


def test_each_report_names_a_packet_of_the_last_second() -> None:
    room = Room(REPAIRED)
    room.hear(SILENT, 50)
    for second in range(1, 10):
        room.blocks.clear()
        room.hear(SILENT, 50)
        (block,) = room.blocks
        assert block.highest_sequence > 50 + 50 * (second - 1)
        assert block.jitter == 0


def test_a_word_is_delivered_whole_and_with_it_what_was_kept_before() -> None:
    room = Room()
    before = room.hear(SILENT, MINUTE)
    opened = len(room.frames)
    word = room.hear(LOUD, 40)
    assert room.heard[-KEPT - 40 :] == [*before[-KEPT:], *word]
    assert room.heard == sorted(room.heard)
    assert {frame.epoch for frame in room.frames} == {0}
    assert [frame.level_dbov for frame in room.frames[opened:]] == [-SILENT] * KEPT + [-LOUD] * 40
    statistics = room.statistics
    assert statistics.packets_received == MINUTE + 40
    assert statistics.packets_unopened == MINUTE + 40 - room.srtp.calls
    assert (statistics.packets_lost, statistics.packets_duplicated) == (0, 0)


def test_the_pauses_of_who_speaks_are_delivered_whole() -> None:
    room = Room()
    room.hear(SILENT, MINUTE)
    before = len(room.frames)
    spoken = [each for _ in range(10) for part in (LOUD, SILENT) for each in room.hear(part, 30)]
    assert room.heard[before + KEPT :] == spoken


def test_another_ssrc_takes_over_the_gate_and_an_end_leaves_none() -> None:
    room = Room(replace(AUDIO, ssrcs=()))
    gates = room.path.gates
    room.hear(SILENT, 100)
    assert gates.keys() == {(1000).to_bytes(4, "big")}
    room.sender = AudioSender(ssrc=1001)
    room.hear(SILENT, 300)
    assert gates.keys() == {(1001).to_bytes(4, "big")}
    assert room.srtp.calls < 100
    room.receiver.on_rtcp(build_bye([1001]), room.now_ns)
    assert gates == {}
    room.wait(2 * NS_PER_S)
    room.hear(SILENT, 2)
    assert gates.keys() == {(1001).to_bytes(4, "big")}
    room.receiver.set_tracks({TrackId("camera"): AUDIO}, room.now_ns)
    assert gates == {}


def test_the_gate_of_a_track_that_stays_stays() -> None:
    room = Room()
    room.hear(SILENT, 100)
    room.receiver.set_tracks({MICROPHONE: AUDIO, TrackId("another"): OTHER}, room.now_ns)
    opened = room.srtp.calls
    room.hear(SILENT, 100)
    assert room.srtp.calls - opened < 10


def test_without_levels_there_is_no_gate() -> None:
    room = Room(replace(AUDIO, extensions={}))
    room.hear(SILENT, 100)
    assert room.path.gates == {}
    assert len(room.frames) == 100
