"""Transport-wide feedback (which packets came, and when) of what is opened late or never."""

from dataclasses import replace
from random import Random

import pytest

from tests.rooms.dozing import LOUD, MICROPHONE, NUMBER_ID, PACKET_NS, SILENT, Room
from tests.rooms.rtp_material import AUDIO, OPUS_PAYLOAD_TYPE, VIDEO, VideoSender
from tests.rooms.test_transport_feedback import TICK_NS, Told
from worker.core.identity import Codec, TrackId
from worker.core.timing import NS_PER_MS
from worker.rooms.media import TRANSPORT_CC, TRANSPORT_CC_URI, MediaCodec

NUMBERED = replace(
    AUDIO,
    codecs=(MediaCodec(OPUS_PAYLOAD_TYPE, Codec.OPUS, feedback=(TRANSPORT_CC,)),),
    extensions={**AUDIO.extensions, TRANSPORT_CC_URI: NUMBER_ID},
)


class Numbered(Room):
    """All that is sent over the transport is numbered; what came is kept beside it."""

    def __init__(self) -> None:
        super().__init__(NUMBERED)
        self.number = 65_000
        self.came: dict[int, int] = {}

    def send(self, minus_dbov: int, *, is_lost: bool = False) -> None:
        packet = self.packet(minus_dbov, self.number & 0xFFFF)
        if not is_lost:
            self.note()
            self.come(packet)
        self.number += 1

    def note(self) -> None:
        self.came[self.number & 0xFFFF] = self.now_ns // TICK_NS * TICK_NS

    def told(self) -> list[tuple[int, int | None]]:
        """All that was said of each number, in the order it was said."""
        messages = [Told(packet) for packet in self.rtcp if packet[1] == 205]
        return [entry for message in messages for entry in message.arrivals.items()]


def test_each_packet_is_told_once_with_its_own_arrival_though_few_are_opened() -> None:
    room = Numbered()
    for _ in range(1500):
        room.send(SILENT)
        room.wait()
    room.wait(5 * PACKET_NS)
    assert room.srtp.calls < 150
    assert room.told() == list(room.came.items())


@pytest.mark.parametrize("since_feedback_ms", range(0, 100, 20))
def test_what_a_word_brings_along_is_not_told_again(since_feedback_ms: int) -> None:
    room = Numbered()
    room.wait(since_feedback_ms * NS_PER_MS)
    for turn in range(5):
        for level, count in ((SILENT, 151 + turn), (LOUD, 10)):
            for _ in range(count):
                room.send(level)
                room.wait()
    room.wait(5 * PACKET_NS)
    assert len(room.frames) > 5 * 36
    assert room.told() == list(room.came.items())


def test_what_was_lost_is_told_as_lost() -> None:
    room = Numbered()
    random = Random(1)
    first = room.number
    for _ in range(1000):
        room.send(SILENT, is_lost=random.random() < 0.01)
        room.wait()
    room.wait(5 * PACKET_NS)
    told = room.told()
    assert dict(told) == {
        number & 0xFFFF: room.came.get(number & 0xFFFF) for number in range(first, room.number)
    }
    assert len(told) == 1000
    assert 5 < sum(at is None for _, at in told) < 20


def test_who_comes_late_or_together_with_others_is_told_too() -> None:
    """Where the kernel stamps nothing, what is read at once has come at once."""
    room = Numbered()
    for _ in range(20):
        for _ in range(160):
            room.send(SILENT)
            room.wait()
        late = room.packet(SILENT, room.number & 0xFFFF)
        late_number = room.number
        room.number += 1
        room.wait()
        room.send(SILENT)
        room.send(SILENT)
        room.send(LOUD)
        room.wait()
        room.came[late_number & 0xFFFF] = room.now_ns
        room.come(late)
        room.wait()
    room.wait(5 * PACKET_NS)
    told = {number: at_ns for number, at_ns in room.told() if at_ns is not None}
    assert told == room.came


CAMERA = replace(
    VIDEO,
    codecs=tuple(replace(codec, feedback=(TRANSPORT_CC,)) for codec in VIDEO.codecs),
    extensions={**VIDEO.extensions, TRANSPORT_CC_URI: NUMBER_ID},
)


class Beside(Numbered):
    """There is a camera too; its packets come between those of the microphone."""

    def __init__(self) -> None:
        super().__init__()
        tracks = {MICROPHONE: NUMBERED, TrackId("camera"): CAMERA}
        self.receiver.set_tracks(tracks, self.now_ns)
        self.camera = VideoSender(max_payload_bytes=4000)

    def film(self) -> None:
        extensions = {NUMBER_ID: (self.number & 0xFFFF).to_bytes(2, "big")}
        (packet,) = self.camera.frame(is_keyframe=True, size=400, extensions=extensions)
        self.note()
        self.come(packet)
        self.number += 1


def test_a_camera_beside_it_is_told_in_full() -> None:
    room = Beside()
    random = Random(2)
    for turn in range(1000):
        for _ in range(random.randrange(3)):
            room.film()
            room.wait(random.choice((0, NS_PER_MS)))
        room.send(LOUD if turn % 200 > 190 else SILENT)
        room.wait()
    room.wait(5 * PACKET_NS)
    assert room.told() == list(room.came.items())


def test_who_seems_to_come_a_moment_before_the_one_before_is_told_too() -> None:
    """Wall clock and ours are compared at each reading of sockets, to some microseconds."""
    room = Beside()
    for _ in range(200):
        room.send(SILENT)
        room.now_ns -= NS_PER_MS // 2
        room.film()
        room.wait()
    room.wait(5 * PACKET_NS)
    assert room.told() == list(room.came.items())
