from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.testroom.faults import Impairment, NetworkFaults
from worker.testroom.rehearsal_receiver import AudioReceiver, VideoReceiver

FRAME_NS = 33 * NS_PER_MS


def path(**faults: float) -> Impairment:
    return Impairment(NetworkFaults(**faults), "1", start_ns=0)  # type: ignore[arg-type]


def test_whole_frames_come_out_when_their_last_packet_is_there():
    receiver = VideoReceiver()

    assert receiver.receive(5000, 0, path(delay_ms=30), keyframe=True) == 30 * NS_PER_MS
    assert receiver.statistics.packets_received == 5


def test_nothing_comes_out_before_the_first_keyframe():
    receiver = VideoReceiver()

    assert receiver.receive(100, 0, path(), keyframe=False) is None
    assert receiver.receive(100, FRAME_NS, path(), keyframe=True) == FRAME_NS


def test_lost_packets_are_recovered_later_and_hold_up_the_frames_behind():
    receiver, lossy = VideoReceiver(), path(loss=0.3, delay_ms=20)
    out = [receiver.receive(3000, k * FRAME_NS, lossy, keyframe=k == 0) for k in range(200)]

    delays = [instant - k * FRAME_NS for k, instant in enumerate(out) if instant is not None]
    instants = [instant for instant in out if instant is not None]
    assert receiver.statistics.packets_recovered > 100
    assert instants == sorted(instants)
    assert max(delays) > 60 * NS_PER_MS


def test_a_burst_beyond_repair_withholds_everything_until_a_keyframe():
    receiver = VideoReceiver()
    broken = path(burst_ms=600, burst_every_s=2)
    out = [
        receiver.receive(1000, k * 100 * NS_PER_MS, broken, keyframe=k in (0, 24))
        for k in range(30)
    ]
    seen = [k for k, instant in enumerate(out) if instant is not None]

    # The burst lasts from 1.4 s to 2 s. What was sent up to 400 ms before its end is beyond
    # repair, and the frames behind it wait for the keyframe.
    assert seen == [*range(14), *range(24, 30)]
    assert receiver.statistics.frames_dropped == 10


def test_a_keyframe_request_reaches_the_sender_after_giving_up_and_is_repeated():
    receiver = VideoReceiver()
    dead = path(loss=1.0, delay_ms=50)
    receiver.receive(1000, 0, dead, keyframe=True)

    # 400 ms until giving up, half a round trip of 100 ms on the way.
    assert not receiver.wants_keyframe(449 * NS_PER_MS)
    assert receiver.wants_keyframe(450 * NS_PER_MS)
    assert not receiver.wants_keyframe(451 * NS_PER_MS)
    assert receiver.wants_keyframe(950 * NS_PER_MS)
    receiver.receive(1000, NS_PER_S, path(), keyframe=True)
    assert not receiver.wants_keyframe(2 * NS_PER_S)
    assert receiver.statistics.keyframe_requests == 2


def test_lost_audio_is_missing_and_copies_are_counted():
    receiver = AudioReceiver()

    assert receiver.receive([5, 6]) == 5
    assert receiver.receive([]) is None
    assert receiver.statistics.packets_received == 1
    assert receiver.statistics.packets_duplicated == 1
    assert receiver.statistics.packets_lost == 1
