"""Transport-wide feedback, read by a decoder that was written apart from the draft's text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rooms.rtp_material import VIDEO, VideoSender
from worker.core.identity import Codec, TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.media import TRANSPORT_CC, TRANSPORT_CC_URI, NegotiatedMedia
from worker.rooms.negotiation import answered_section
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.receive.transport_feedback import TransportFeedback
from worker.rooms.sdp import read_description

MS = NS_PER_MS
TICK_NS = MS // 4
EXTENSION_ID = 3
OFFER = (Path(__file__).parent / "chromium_offer.sdp").read_text()


class Told:
    """One feedback packet, decoded bit by bit."""

    def __init__(self, packet: bytes) -> None:
        assert packet[0] & 0xC0 == 0x80 and packet[0] & 0x1F == 15 and packet[1] == 205
        assert len(packet) == 4 * (int.from_bytes(packet[2:4], "big") + 1)
        self.sender_ssrc = int.from_bytes(packet[4:8], "big")
        self.media_ssrc = int.from_bytes(packet[8:12], "big")
        self.base = int.from_bytes(packet[12:14], "big")
        count = int.from_bytes(packet[14:16], "big")
        self.reference_ms = 64 * int.from_bytes(packet[16:19], "big")
        self.count = packet[19]
        symbols: list[int] = []
        at = 20
        while len(symbols) < count:
            bits = f"{int.from_bytes(packet[at : at + 2], 'big'):016b}"
            at += 2
            if bits[0] == "0":
                symbols += [int(bits[1:3], 2)] * int(bits[3:], 2)
            elif bits[1] == "0":
                symbols += [int(bit) for bit in bits[2:]]
            else:
                symbols += [int(bits[place : place + 2], 2) for place in range(2, 16, 2)]
        self.has_large = 2 in symbols[:count]
        now_ns = self.reference_ms * MS
        self.arrivals: dict[int, int | None] = {}
        for offset, symbol in enumerate(symbols[:count]):
            number = self.base + offset & 0xFFFF
            assert symbol in (0, 1, 2)
            if symbol == 0:
                self.arrivals[number] = None
                continue
            size = symbol
            now_ns += int.from_bytes(packet[at : at + size], "big", signed=size == 2) * TICK_NS
            at += size
            self.arrivals[number] = now_ns
        assert at <= len(packet) < at + 4 or not any(packet[at:])


def heard(feedback: TransportFeedback, now_ns: int) -> list[Told]:
    return [Told(packet) for packet in feedback.poll(99, now_ns)]


def told(messages: Sequence[Told]) -> dict[int, int | None]:
    return {number: at for message in messages for number, at in message.arrivals.items()}


def test_every_packet_is_told_with_its_arrival() -> None:
    feedback = TransportFeedback(7)
    for number in range(10):
        feedback.note(number, NS_PER_S + number * 3 * MS)
    (message,) = heard(feedback, NS_PER_S + 30 * MS)
    assert (message.sender_ssrc, message.media_ssrc, message.count) == (7, 99, 0)
    assert message.arrivals == {k: NS_PER_S + k * 3 * MS for k in range(10)}


def test_it_is_due_every_hundred_milliseconds_and_only_when_something_came() -> None:
    feedback = TransportFeedback(7)
    due_ms = []
    for now_ms in range(0, 1000, 5):
        if now_ms < 500:
            feedback.note(now_ms // 5, now_ms * MS)
        if feedback.poll(99, now_ms * MS):
            due_ms.append(now_ms)
    assert due_ms == [0, 100, 200, 300, 400, 500]


def test_a_hole_is_told_once_and_told_again_when_it_is_filled_late() -> None:
    feedback = TransportFeedback(7)
    for number in (0, 1, 3):
        feedback.note(number, number * MS)
    assert told(heard(feedback, 100 * MS)) == {0: 0, 1: MS, 2: None, 3: 3 * MS}
    feedback.note(2, 110 * MS)
    feedback.note(4, 111 * MS)
    assert told(heard(feedback, 200 * MS)) == {2: 110 * MS, 3: 3 * MS, 4: 111 * MS}


def test_numbers_wrap() -> None:
    feedback = TransportFeedback(7)
    for step in range(6):
        feedback.note(65533 + step & 0xFFFF, step * MS)
    (message,) = heard(feedback, 100 * MS)
    assert message.base == 65533
    assert list(message.arrivals) == [65533, 65534, 65535, 0, 1, 2]


def test_a_copy_does_not_change_the_first_arrival() -> None:
    feedback = TransportFeedback(7)
    feedback.note(5, 10 * MS)
    feedback.note(5, 20 * MS)
    assert told(heard(feedback, 100 * MS)) == {5: 10 * MS}


def test_long_losses_cost_few_bytes() -> None:
    feedback = TransportFeedback(7)
    feedback.note(0, 0)
    feedback.note(3000, 50 * MS)
    packets = feedback.poll(99, 100 * MS)
    assert sum(len(packet) for packet in packets) < 300
    messages = [Told(packet) for packet in packets]
    everything = told(messages)
    assert len(everything) == 3001
    assert {number for number, at in everything.items() if at is not None} == {0, 3000}
    assert [message.count for message in messages] == list(range(len(messages)))


def test_a_sender_that_counts_anew_is_followed() -> None:
    feedback = TransportFeedback(7)
    feedback.note(100, 0)
    feedback.poll(99, 100 * MS)
    feedback.note(40_000, 150 * MS)
    assert told(heard(feedback, 200 * MS)) == {40_000: 150 * MS}


def test_what_is_noted_between_two_polls_is_bounded() -> None:
    feedback = TransportFeedback(7)
    for number in range(20_000):
        feedback.note(number & 0xFFFF, number * MS // 100)
    packets = feedback.poll(99, 300 * MS)
    assert sum(len(packet) for packet in packets) < 20_000
    assert len(told([Told(packet) for packet in packets])) == 4096


def test_a_stall_of_ten_seconds_begins_a_new_message() -> None:
    feedback = TransportFeedback(7)
    feedback.note(0, 0)
    feedback.note(1, 10 * NS_PER_S)
    messages = heard(feedback, 10 * NS_PER_S)
    assert told(messages) == {0: 0, 1: 10 * NS_PER_S}
    assert len(messages) == 2


@settings(deadline=None, max_examples=150)
@given(
    first=st.integers(0, 65535),
    loss=st.sampled_from([0.0, 0.02, 0.3, 0.9]),
    jitter_ms=st.sampled_from([0, 2, 30, 300]),
    interval_us=st.sampled_from([150, 1000, 20_000]),
    seed=st.integers(0, 1 << 16),
)
def test_what_is_told_in_the_end_is_what_arrived(
    first: int, loss: float, jitter_ms: int, interval_us: int, seed: int
) -> None:
    """Whatever the order of arrival: each packet's last word is its true first arrival."""
    random = Random(seed)
    arrivals = sorted(
        (place * interval_us * 1000 + int(random.random() * jitter_ms * MS), place)
        for place in range(600)
        if random.random() >= loss
    )
    feedback = TransportFeedback(7)
    due_ns = 0
    messages: list[Told] = []
    for at_ns, place in arrivals:
        while due_ns < at_ns:
            messages += heard(feedback, due_ns)
            due_ns += 5 * MS
        feedback.note(first + place & 0xFFFF, at_ns)
    messages += heard(feedback, due_ns + NS_PER_S)
    everything = told(messages)
    came = {first + place & 0xFFFF: at_ns // TICK_NS * TICK_NS for at_ns, place in arrivals}
    assert {number: at for number, at in everything.items() if at is not None} == came
    assert [message.count for message in messages] == [k & 0xFF for k in range(len(messages))]
    assert all(len(message.arrivals) <= 384 for message in messages)


def numbered(media: NegotiatedMedia, *feedback: str) -> NegotiatedMedia:
    (codec,) = media.codecs
    return replace(
        media,
        codecs=(replace(codec, feedback=(*codec.feedback, *feedback)),),
        extensions={**media.extensions, TRANSPORT_CC_URI: EXTENSION_ID},
    )


def feedback_of(media: NegotiatedMedia) -> list[bytes]:
    """What a receiver answers to half a second of numbered frames."""
    receiver = PeerReceiver(
        ssrc=1, on_frame=lambda frame: None, on_sender_report=lambda report: None, statistics={}
    )
    receiver.set_tracks({TrackId("camera"): media}, 0)
    sender = VideoSender()
    compounds: list[bytes] = []
    for frame in range(15):
        extensions = {EXTENSION_ID: frame.to_bytes(2, "big")}
        for packet in sender.frame(is_keyframe=frame == 0, extensions=extensions):
            receiver.on_rtp(packet, frame * 33 * MS)
        compounds += receiver.poll(frame * 33 * MS)
    return compounds


def kinds(compounds: Sequence[bytes]) -> set[tuple[int, int]]:
    """Packet type and format of every packet."""
    found = set()
    for compound in compounds:
        at = 0
        while at < len(compound):
            found.add((compound[at + 1], compound[at] & 0x1F))
            at += 4 * (int.from_bytes(compound[at + 2 : at + 4], "big") + 1)
    return found


@pytest.mark.parametrize(
    ("media", "has_transport", "has_remb"),
    [
        (numbered(VIDEO, TRANSPORT_CC), True, False),
        (numbered(VIDEO), False, True),
        (VIDEO, False, True),
    ],
)
def test_feedback_is_sent_as_it_was_agreed(
    media: NegotiatedMedia, has_transport: bool, has_remb: bool
) -> None:
    found = kinds(feedback_of(media))
    assert ((205, 15) in found, (206, 15) in found) == (has_transport, has_remb)


@pytest.mark.parametrize(
    ("without", "has_transport", "has_remb"),
    [
        ((), True, False),
        (("a=rtcp-fb:96 transport-cc", "a=rtcp-fb:111 transport-cc"), False, True),
        ((TRANSPORT_CC_URI,), False, True),
    ],
)
def test_of_two_kinds_of_feedback_that_of_the_transport_is_taken_if_packets_have_numbers(
    without: tuple[str, ...], has_transport: bool, has_remb: bool
) -> None:
    offer = "\n".join(
        line for line in OFFER.splitlines() if not any(text in line for text in without)
    )
    description = read_description(offer)
    answered = answered_section(description.sections[1], (Codec.VP8,), bundle=description.bundle)
    (vp8,) = answered.codecs
    assert (TRANSPORT_CC in vp8.feedback, "goog-remb" in vp8.feedback) == (has_transport, has_remb)
    assert {"nack", "nack pli", "ccm fir"} <= set(vp8.feedback)
