"""One audio track from arrival to blocks: muted, left undecoded, taken up again."""

import numpy as np
import pytest

from tests.support.audio_signals import RATE, db, speech_like
from tests.support.fake_opus import FakeOpus, packet
from worker.core.audio.timeline import WARM_UP
from worker.core.clockmap import ClockMap
from worker.core.identity import Codec, Kind, ParticipantId, Source, Track, TrackId
from worker.core.timing import BLOCK_NS, NS_PER_MS
from worker.engine.hearing import AudioIngest
from worker.media.opus import OpusDecoder
from worker.media.opus_loop import encode_opus_loop
from worker.ports import EncodedFrame

TRACK = Track(TrackId("ada/mic"), ParticipantId("ada"), Kind.AUDIO, Source.MICROPHONE)
AHEAD_NS = 300 * NS_PER_MS


def hum(positions):
    return 0.5 * np.sin(2 * np.pi * 300 * positions / RATE)


def a_frame(index, data, level_dbov=-20):
    return EncodedFrame(
        track_id=TRACK.track_id,
        codec=Codec.OPUS,
        epoch=0,
        rtp_timestamp=index * 960,
        arrival_ns=index * BLOCK_NS,
        keyframe=True,
        data=data,
        level_dbov=level_dbov,
    )


class Mic:
    """A track whose packets arrive 300 ms before they are heard, three at a time."""

    def __init__(self, decoder=None, data=lambda index: packet(index * 960)):
        self.clock_map = ClockMap()
        self.ingest = AudioIngest(
            track=TRACK, clock_map=self.clock_map, decoder=decoder or FakeOpus(hum)
        )
        self._data = data
        self._sent = 0
        self.block = 0

    def run(self, batches, *, decoded=True):
        """Blocks as one array, silence as zeros; nothing while not *decoded*."""
        out = []
        for _ in range(batches):
            start_ns = self.block * BLOCK_NS
            while self._sent * BLOCK_NS < start_ns + 3 * BLOCK_NS + AHEAD_NS:
                frame = a_frame(self._sent, self._data(self._sent))
                self.clock_map.observe_arrival(
                    TRACK.track_id, 0, frame.rtp_timestamp, RATE, frame.arrival_ns
                )
                self.ingest.push(frame)
                self._sent += 1
            self.ingest.weigh(start_ns + 3 * BLOCK_NS + AHEAD_NS)
            if decoded:
                self.ingest.hear(self.ingest.take(start_ns + 3 * BLOCK_NS + AHEAD_NS))
                out += self.ingest.blocks(start_ns, 3)
            else:
                self.ingest.skip(start_ns)
            self.block += 3
        blocks = [np.zeros((960, 1)) if block is None else block for block in out]
        return np.concatenate(blocks)[:, 0] if blocks else np.zeros(0)


def test_a_microphone_muted_100_times_is_silent_then_and_in_its_place_after():
    mic = Mic()
    sound = mic.run(10)
    for turn in range(100):
        at = (30 + 30 * turn) * 960
        mic.ingest.mute(at * 1_000_000_000 // RATE, muted=True)
        mic.ingest.mute((at + 9600) * 1_000_000_000 // RATE, muted=False)
        sound = np.concatenate([sound, mic.run(10)])

    expected = hum(np.arange(len(sound)))
    for turn in range(100):
        at = (30 + 30 * turn) * 960
        assert not sound[at + 240 : at + 9600].any()
        back = slice(at + 9600 + 240, at + 30 * 960)
        np.testing.assert_allclose(sound[back], expected[back], atol=1e-6)
    assert np.abs(np.diff(sound[240:], n=2)).max() < 0.002, "no click"
    facts = mic.ingest.facts()
    assert facts["packets_late"] == facts["concealed_ms"] == facts["stretched_blocks"] == 0
    assert not mic.ingest._mutes
    assert not mic.ingest._pending_mutes


def test_muting_takes_effect_at_its_room_time_and_not_when_it_is_told():
    mic = Mic()
    mic.run(10)
    mic.ingest.mute(30 * BLOCK_NS + AHEAD_NS, muted=True)

    sound = mic.run(8)

    assert np.abs(sound[14 * 960 : 15 * 960]).max() > 0.4
    assert not sound[15 * 960 + 240 :].any()


def test_a_flood_of_mutes_leaves_the_last_word():
    mic = Mic()
    mic.run(5)
    for turn in range(10_001):
        mic.ingest.mute(15 * BLOCK_NS, muted=turn % 2 == 0)

    assert len(mic.ingest._mutes) <= 64
    assert not mic.run(5)[240:].any()


def test_a_lane_nine_seconds_late_hears_every_packet():
    mic = Mic()
    on_time = Mic().run(150)
    for index in range(450):
        mic.clock_map.observe_arrival(TRACK.track_id, 0, index * 960, RATE, index * BLOCK_NS)
        mic.ingest.push(a_frame(index, packet(index * 960)))
    mic._sent = 465

    late = mic.run(150)

    np.testing.assert_array_equal(late[: 440 * 960], on_time[: 440 * 960])
    facts = mic.ingest.facts()
    assert facts["packets_shed"] == facts["packets_late"] == 0


def test_a_muted_microphone_claims_no_level():
    mic = Mic()
    mic.run(10)
    assert mic.ingest.claim.fast > 0.005

    mic.ingest.mute(30 * BLOCK_NS, muted=True)
    mic.run(20)

    assert mic.ingest.claim.fast < 1e-5


def test_a_track_nobody_hears_is_not_decoded_and_holds_little():
    decoder = FakeOpus(hum)
    decoded = []
    decode = decoder.decode
    decoder.decode = lambda data: decoded.append(data) or decode(data)
    mic = Mic(decoder)

    mic.run(1000, decoded=False)

    assert decoded == []
    assert len(mic.ingest._arrived) <= 36, "what is ahead, what a warm-up needs, a batch"
    assert mic.ingest.facts()["packets_late"] == mic.ingest.packets_shed == 0


def test_a_track_taken_up_again_is_in_its_place_after_a_warm_up():
    decoder = FakeOpus(hum)
    decoded = []
    decode = decoder.decode
    decoder.decode = lambda data: decoded.append(data) or decode(data)
    mic = Mic(decoder)
    mic.run(20)
    for _ in range(5):
        mic.ingest.rest()
        mic.run(50, decoded=False)
        before = len(decoded)
        begin = mic.block * 960

        sound = mic.run(10)

        np.testing.assert_allclose(
            sound[240:], hum(np.arange(begin + 240, begin + len(sound))), atol=1e-6
        )
        assert len(decoded) - before == 30 + WARM_UP // 960
    facts = mic.ingest.facts()
    assert facts["packets_late"] == facts["concealed_ms"] == facts["stretched_blocks"] == 0


def test_the_first_block_of_a_real_decoder_taken_up_again_is_as_if_it_had_never_stopped():
    """Opus predicts from packet to packet; what was skipped must not be heard."""
    pcm = speech_like(RATE * 4, -20, seed=3).astype(np.float32)
    packets = encode_opus_loop(pcm, 32)
    steady = Mic(OpusDecoder(), data=lambda index: packets[index % len(packets)])
    expected = steady.run(50)
    mic = Mic(OpusDecoder(), data=lambda index: packets[index % len(packets)])
    mic.run(5)
    mic.ingest.rest()
    mic.run(20, decoded=False)

    sound = mic.run(25)

    same = expected[75 * 960 :]
    error = sound[240:] - same[240:]
    for block in range(3):
        piece = slice(block * 960, (block + 1) * 960)
        loss_db = db(float(np.sqrt(np.mean(error[piece] ** 2)))) - db(
            float(np.sqrt(np.mean(same[240:][piece] ** 2)))
        )
        print(f"block {block}: {loss_db:.1f} dB")
        assert loss_db < -25
    assert np.abs(error[9600:]).max() < 0.01


def test_three_blocks_at_once_are_the_same_as_one_at_a_time():
    rng = np.random.default_rng(5)
    lost = set(rng.integers(20, 280, 30).tolist()) | set(range(150, 175))

    def run(at_once):
        clock_map = ClockMap()
        ingest = AudioIngest(track=TRACK, clock_map=clock_map, decoder=FakeOpus(hum, 0.5))
        out = []
        for batch in range(100):
            for index in range(batch * 3, batch * 3 + 3):
                if index in lost:
                    continue
                frame = a_frame(index, packet(index * 960))
                clock_map.observe_arrival(
                    TRACK.track_id, 0, frame.rtp_timestamp, RATE, frame.arrival_ns
                )
                ingest.push(frame)
            if batch < 6:
                continue
            ingest.hear(ingest.take(batch * 3 * BLOCK_NS + 2 * BLOCK_NS))
            for first in range(0, 3, at_once):
                start_ns = ((batch - 6) * 3 + first) * BLOCK_NS
                out += ingest.blocks(start_ns, at_once)
        return out, ingest.facts()

    one, facts = run(1)
    three, facts_too = run(3)

    assert facts == facts_too
    assert facts["packets_rebuilt"] > 10
    assert facts["concealed_ms"] > 60
    assert [block is None for block in one] == [block is None for block in three]
    for single, batched in zip(one, three, strict=True):
        if single is not None:
            np.testing.assert_array_equal(single, batched)


@pytest.mark.parametrize("count", [1, 3])
def test_a_track_without_packets_is_silent(count):
    mic = Mic()

    assert mic.ingest.blocks(0, count) == [None] * count
