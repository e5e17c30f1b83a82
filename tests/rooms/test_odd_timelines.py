"""Senders whose numbers jump, wrap or lie: what comes out of the receive side lies where it was
captured. Rows M2 to M5 of the fault table, through the receiver and the clock map."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from tests.rooms.rtp_material import AUDIO, VIDEO, AudioSender, VideoSender, frame_number
from worker.core.clockmap import ClockMap
from worker.core.identity import Codec, TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.rtcp import PliPacket, SenderReportPacket, build_sender_report, parse_rtcp

MS = NS_PER_MS
CAMERA, MICROPHONE = TrackId("camera"), TrackId("microphone")
DELAY_NS = 30 * MS
START_NS = 100 * NS_PER_S
WALL_NS = 3_976_214_400 * NS_PER_S
FRAME_MS = 1000 / 30
ODD_FROM_S = 5.0
"""When whatever is odd happens."""


@dataclass
class Odd:
    """What is wrong with a sender, from 5 s on unless told otherwise."""

    timestamp_s: float = 0.0
    sequence: int = 0
    new_ssrc: bool = False
    first_timestamp: int = 1_000_000
    first_sequence: int = 20_000
    wall_ns: Callable[[float, int], int | None] = lambda at_s, wall_ns: wall_ns
    """What its sender reports say at an instant; None for no report."""
    keyframes_from_s: float = 0.0
    hold_s: int = 0
    """For so long nothing is sent; by the senders' own clocks unless these are set back."""


@dataclass
class Heard:
    """What came out, with the error of the map's instants against the truth."""

    video: dict[int, float] = field(default_factory=dict)
    """Error in ms by frame number."""
    audio: dict[int, float] = field(default_factory=dict)
    requests_s: list[float] = field(default_factory=list)
    video_s: dict[int, float] = field(default_factory=dict)
    """When each frame was delivered."""
    epochs: set[int] = field(default_factory=set)


def perform(odd: Odd, seconds: float = 12.0) -> Heard:
    heard, clock, now, held_ns = Heard(), ClockMap(), [START_NS], 0
    statistics: dict[TrackId, TrackStatistics] = {}

    def on_frame(frame: EncodedFrame) -> None:
        clock.observe_arrival(
            frame.track_id,
            frame.epoch,
            frame.rtp_timestamp,
            frame.codec.clock_rate_hz,
            frame.arrival_ns,
        )
        mapped_ns = clock.capture_ns(frame.track_id, frame.epoch, frame.rtp_timestamp)
        assert mapped_ns is not None
        mapped_ns -= held_ns
        if frame.codec is Codec.OPUS:
            number = int.from_bytes(frame.data[-4:], "big")
            heard.audio[number] = (mapped_ns - DELAY_NS - START_NS) / MS - 20 * number
        else:
            number = frame_number(frame.data)
            heard.video[number] = (mapped_ns - DELAY_NS - START_NS) / MS - FRAME_MS * number
            heard.video_s[number] = (now[0] - START_NS - held_ns) / NS_PER_S
            heard.epochs.add(frame.epoch)

    def on_report(report: SenderReport) -> None:
        clock.observe_report(
            report.track_id, report.epoch, report.ntp_ns, report.rtp_timestamp, report.arrival_ns
        )

    receiver = PeerReceiver(
        ssrc=1, on_frame=on_frame, on_sender_report=on_report, statistics=statistics
    )
    receiver.set_tracks({CAMERA: VIDEO, MICROPHONE: AUDIO}, START_NS)
    camera = VideoSender(
        sequence=odd.first_sequence, timestamp=odd.first_timestamp, max_payload_bytes=5000
    )
    microphone = AudioSender(sequence=odd.first_sequence, timestamp=odd.first_timestamp)
    wants_keyframe, is_odd, blocks = True, False, 0
    for step in range(round(seconds * 1000 / 5)):
        at_ms = 5 * step
        at_s = at_ms / 1000
        if at_s >= ODD_FROM_S and not is_odd:
            is_odd = True
            for second in range(odd.hold_s):
                receiver.poll(now[0] + second * NS_PER_S)
            held_ns = odd.hold_s * NS_PER_S
            for sender, rate_hz in ((camera, 90_000), (microphone, 48_000)):
                sender.timestamp += round((odd.hold_s + odd.timestamp_s) * rate_hz)
                sender.sequence += odd.sequence
                sender.ssrc += 7 if odd.new_ssrc else 0
        now[0] = START_NS + held_ns + at_ms * MS + DELAY_NS
        if at_ms % 20 == 0:
            microphone.payload = b"\xf8" + blocks.to_bytes(4, "big")
            blocks += 1
            receiver.on_rtp(microphone.packet(), now[0])
        if at_ms >= camera.number * FRAME_MS:
            is_key = wants_keyframe and at_s >= odd.keyframes_from_s
            is_key = is_key or (camera.number % 30 == 0 and at_s >= odd.keyframes_from_s)
            wants_keyframe = wants_keyframe and not is_key
            for packet in camera.frame(is_keyframe=is_key, size=800):
                receiver.on_rtp(packet, now[0])
        if at_ms % 1000 == 200:
            wall_ns = odd.wall_ns(at_s, WALL_NS + held_ns + at_ms * MS)
            for sender, rate_hz, unit_ms, sent in (
                (camera, 90_000, FRAME_MS, camera.number),
                (microphone, 48_000, 20, blocks),
            ):
                if wall_ns is None:
                    continue
                # `timestamp` is that of the next unit, which is captured at unit_ms * sent.
                timestamp = sender.timestamp + round((at_ms - unit_ms * sent) / 1000 * rate_hz)
                ntp = (wall_ns << 32) // NS_PER_S & (1 << 64) - 1
                report = SenderReportPacket(sender.ssrc, ntp, timestamp & 0xFFFFFFFF, 1, 1)
                receiver.on_rtcp(build_sender_report(report), now[0])
        for compound in receiver.poll(now[0]):
            for packet in parse_rtcp(compound):
                if isinstance(packet, PliPacket):
                    heard.requests_s.append(at_s)
                    wants_keyframe = True
    return heard


def worst_ms(errors: dict[int, float], first: int) -> float:
    return max(abs(error) for number, error in errors.items() if number >= first)


@pytest.mark.parametrize("step_s", [10, -10, 3600, -3600])
def test_a_jump_of_the_senders_timestamps_costs_no_frame_and_moves_none(step_s: float) -> None:
    """Row M2."""
    heard = perform(Odd(timestamp_s=step_s))

    assert (len(heard.audio), len(heard.video)) == (600, 360)
    assert heard.epochs == {0, 1}
    assert worst_ms(heard.audio, 0) <= FRAME_MS
    assert worst_ms(heard.video, 0) <= FRAME_MS


@pytest.mark.parametrize("hold_s", [60, 3600, 50_000])
@pytest.mark.parametrize("clocks", ["go on", "stand still"])
def test_who_is_back_after_hours_on_hold_is_in_its_place_at_once(hold_s: int, clocks: str) -> None:
    """Row M10. 50 000 s are more than all the timestamps of a camera."""
    heard = perform(Odd(hold_s=hold_s, timestamp_s=-hold_s if clocks == "stand still" else 0))

    assert (len(heard.audio), len(heard.video)) == (600, 360)
    assert worst_ms(heard.audio, 0) <= FRAME_MS
    assert worst_ms(heard.video, 0) <= FRAME_MS


@pytest.mark.parametrize("short", [3 * 90_000, 5 * 48_000])
def test_wraps_of_timestamps_and_sequences_are_invisible(short: int) -> None:
    """Row M2: both wrap within the first seconds."""
    heard = perform(Odd(first_timestamp=(1 << 32) - short, first_sequence=65_536 - 40))

    assert (len(heard.audio), len(heard.video)) == (600, 360)
    assert heard.epochs == {0}
    assert max(worst_ms(heard.audio, 0), worst_ms(heard.video, 0)) <= 5


@pytest.mark.parametrize(
    ("sequence", "new_ssrc"),
    [(step, True) for step in (0, 50, -50, 300, -300, 5000, -5000)]
    # SRTP takes numbers that were used within the last 64 for copies.
    + [(step, False) for step in (50, 300, -300, 5000, -5000)],
)
def test_another_ssrc_or_numbering_is_followed_at_once(sequence: int, new_ssrc: bool) -> None:
    """Row M3. Sound loses a third of a second at most, pictures wait for their keyframe."""
    heard = perform(Odd(sequence=sequence, new_ssrc=new_ssrc))

    assert len(heard.audio) >= 600 - 17
    assert worst_ms(heard.audio, 0) <= FRAME_MS
    assert worst_ms(heard.video, 0) <= FRAME_MS
    first_new_s = min(at_s for at_s in heard.video_s.values() if at_s > ODD_FROM_S + 0.05)
    assert first_new_s <= ODD_FROM_S + 1.1
    after = [number for number in heard.video if number >= (first_new_s + 0.2) * 30]
    assert after == list(range(after[0], 360)), "and then none is missing"


def fixed(wall_s: float) -> Callable[[float, int], int | None]:
    """A wall clock that stands still."""
    return lambda at_s, wall_ns: round(wall_s * NS_PER_S)


RANDOM = Random(4)


@pytest.mark.parametrize(
    "wall_ns",
    [
        pytest.param(lambda at_s, wall_ns: None, id="none at all"),
        pytest.param(lambda at_s, wall_ns: wall_ns if at_s > 6 else None, id="from 6 s on"),
        pytest.param(lambda at_s, wall_ns: wall_ns if at_s < 3 else None, id="only the first"),
        pytest.param(fixed(0), id="1900"),
        pytest.param(fixed(12.5), id="1900, standing still"),
        pytest.param(lambda at_s, wall_ns: wall_ns - WALL_NS, id="counted from its own start"),
        pytest.param(
            lambda at_s, wall_ns: wall_ns - WALL_NS + ((1 << 32) - 6) * NS_PER_S,
            id="over the end of the era in 2036",
        ),
        pytest.param(lambda at_s, wall_ns: RANDOM.randrange(1 << 62), id="random"),
        pytest.param(
            lambda at_s, wall_ns: wall_ns + RANDOM.randrange(-NS_PER_S, NS_PER_S), id="a second off"
        ),
    ],
)
def test_whatever_sender_reports_say_pictures_stay_with_the_sound(
    wall_ns: Callable[[float, int], int | None],
) -> None:
    """Row M4: at most 100 ms, and both tracks have the same delay here."""
    heard = perform(Odd(wall_ns=wall_ns))

    assert (len(heard.audio), len(heard.video)) == (600, 360)
    apart = [heard.video[3 * k] - heard.audio[5 * k] for k in range(120)]
    assert max(abs(ms) for ms in apart) <= 100
    assert max(worst_ms(heard.audio, 0), worst_ms(heard.video, 0)) <= 100


def test_a_camera_without_a_keyframe_is_asked_early_and_again_each_second() -> None:
    """Row M5: keyframes only from 5 s on."""
    heard = perform(Odd(keyframes_from_s=5.0))

    assert heard.requests_s[0] <= 0.2 + 0.03
    steps = [b - a for a, b in zip(heard.requests_s, heard.requests_s[1:], strict=False)]
    assert len(heard.requests_s) == 5
    assert all(0.99 <= step <= 1.02 for step in steps)
    assert min(heard.video_s.values()) == pytest.approx(5.03, abs=0.04), "with the keyframe"
    assert len(heard.video) == 360 - 150
    assert worst_ms(heard.video, 150) <= FRAME_MS
