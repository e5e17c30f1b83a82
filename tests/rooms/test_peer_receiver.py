"""The receive side as a whole: packets in as lists, frames and RTCP out."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rooms.rtp_material import (
    AUDIO,
    LEVEL_ID,
    ORIENTATION_ID,
    VIDEO,
    AudioSender,
    VideoSender,
    frame_number,
)
from worker.core.identity import Codec, TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.ports import EncodedFrame, SenderReport, TrackStatistics
from worker.rooms.media import MediaCodec
from worker.rooms.receive.patience import Patience
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.h264 import packetise_h264
from worker.rooms.rtp.rtcp import (
    NackPacket,
    PliPacket,
    ReceiverReportPacket,
    RembPacket,
    RtcpPacket,
    SenderReportPacket,
    build_bye,
    build_sender_report,
    parse_rtcp,
)

MS = NS_PER_MS
CAMERA, MICROPHONE = TrackId("camera"), TrackId("microphone")


class Bench:
    """A receiver with a clock that the test moves; RTCP is polled every 5 ms of it."""

    def __init__(self, **tracks: object) -> None:
        self.now_ns = NS_PER_S
        self.frames: list[EncodedFrame] = []
        self.reports: list[SenderReport] = []
        self.sent: list[tuple[int, RtcpPacket]] = []
        self.all_statistics: dict[TrackId, TrackStatistics] = {}
        self.patience = Patience()
        self.receiver = PeerReceiver(
            ssrc=1,
            on_frame=self.frames.append,
            on_sender_report=self.reports.append,
            statistics=self.all_statistics,
            patience=self.patience,
        )
        self.receiver.set_tracks({CAMERA: VIDEO, MICROPHONE: AUDIO}, self.now_ns)

    def feed(self, packets: Iterable[bytes], *, gap_ms: float = 0) -> "Bench":
        for packet in packets:
            self.receiver.on_rtp(packet, self.now_ns)
            if gap_ms:
                self.wait(gap_ms)
        return self

    def wait(self, duration_ms: float) -> "Bench":
        end_ns = self.now_ns + int(duration_ms * MS)
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + 5 * MS)
            for compound in self.receiver.poll(self.now_ns):
                self.sent += [
                    ((self.now_ns - NS_PER_S) // MS, packet) for packet in parse_rtcp(compound)
                ]
        return self

    @property
    def shown(self) -> list[int]:
        return [frame_number(frame.data) for frame in self.frames if frame.track_id == CAMERA]

    @property
    def statistics(self) -> TrackStatistics:
        return self.all_statistics[CAMERA]

    def requests(self) -> list[int]:
        """When keyframes were asked for, ms."""
        return [when for when, packet in self.sent if isinstance(packet, PliPacket)]

    def nacks(self) -> list[tuple[int, tuple[int, ...]]]:
        return [
            (when, packet.sequences) for when, packet in self.sent if isinstance(packet, NackPacket)
        ]


def test_a_keyframe_carries_its_size_epoch_and_arrival() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True, width=1280, height=720), gap_ms=5)
    (frame,) = bench.frames
    assert (frame.track_id, frame.codec, frame.epoch) == (CAMERA, Codec.VP8, 0)
    assert frame.keyframe
    assert frame.size == Size(1280, 720)
    assert frame.rtp_timestamp == 90_000
    assert frame.arrival_ns == NS_PER_S + 10 * MS


def test_a_lost_packet_is_asked_for_and_its_retransmission_completes_the_frames() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).feed(sender.frame()).wait(30)
    assert bench.shown == [0]
    assert bench.nacks() == [(5, (104,))]
    bench.feed([sender.rtx(lost[1])])
    assert bench.shown == [0, 1, 2]
    statistics = bench.statistics
    assert (statistics.packets_recovered, statistics.packets_lost) == (1, 0)
    assert (statistics.packets_received, statistics.nacks_sent) == (9, 1)
    assert bench.requests() == []


def test_a_retransmission_on_the_same_ssrc_works_too() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(30).feed([lost[1]])
    assert bench.shown == [0, 1]
    assert bench.statistics.packets_recovered == 1


def test_a_lost_retransmission_is_asked_for_again_until_the_deadline() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(1000)
    assert [when for when, _ in bench.nacks()] == list(range(5, 450, 40))
    assert bench.statistics.packets_lost == 1
    assert bench.statistics.frames_dropped == 1


def test_a_keyframe_is_asked_for_while_repair_looks_hopeless_then_every_second() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(2600)
    assert bench.requests() == [250, 1250, 2250]
    bench.feed(sender.frame())
    assert bench.shown == [0]
    bench.feed(sender.frame(is_keyframe=True)).wait(2000)
    assert bench.shown == [0, 3]
    assert len(bench.requests()) == 3


def test_a_late_repair_ends_the_requests_and_needs_no_keyframe() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(300).feed([sender.rtx(lost[1])]).wait(3000)
    assert bench.shown == [0, 1]
    assert bench.requests() == [250]


def test_a_room_that_can_wait_longer_gives_up_later() -> None:
    bench, sender = Bench(), VideoSender()
    bench.patience.set_limits(video_ns=1350 * MS, audio_ns=1000 * MS)
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(1300)
    bench.feed([sender.rtx(lost[1])])
    assert bench.shown == [0, 1]


def test_answers_tell_the_room_what_delay_repairs_need() -> None:
    bench, sender = Bench(), VideoSender()
    assert bench.patience.wanted_delay_ns == 0
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(405).feed([sender.rtx(lost[1])])
    assert bench.patience.wanted_delay_ns == (3 * 400 + 200) * MS


def test_a_packet_that_comes_after_it_was_given_up_is_discarded() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2]]).wait(500).feed([lost[1]])
    assert bench.shown == [0]
    assert (bench.statistics.packets_lost, bench.statistics.packets_discarded) == (0, 1)


def test_a_stream_that_begins_with_a_keyframe_needs_no_request() -> None:
    bench, sender = Bench(), VideoSender()
    bench.wait(150).feed(sender.frame(is_keyframe=True)).wait(3000)
    assert bench.requests() == []


def test_a_stream_whose_first_packets_come_out_of_order_begins_at_once() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(reversed(sender.frame(is_keyframe=True)), gap_ms=5)
    bench.feed(sender.frame()).wait(1000)
    assert bench.shown == [0, 1]
    assert bench.requests() == []
    assert bench.nacks() == []


def test_a_first_keyframe_with_a_hole_is_repaired() -> None:
    bench, sender = Bench(), VideoSender()
    first, lost, last = sender.frame(is_keyframe=True)
    bench.feed([last, first]).wait(20)
    assert bench.nacks() == [(5, (101,))]
    bench.feed([sender.rtx(lost)])
    assert bench.shown == [0]


def test_a_first_keyframe_whose_beginning_is_lost_costs_one_request() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True)[1:]).feed(sender.frame()).wait(300)
    assert bench.requests() == [200]
    bench.feed(sender.frame(is_keyframe=True))
    assert bench.shown == [2]


def test_a_stream_that_begins_without_one_is_asked_after_200_ms() -> None:
    bench, sender = Bench(), VideoSender()
    for _ in range(60):
        bench.feed(sender.frame()).wait(35)
    assert bench.requests()[:2] == [200, 1200]
    assert bench.shown == []
    assert bench.statistics.frames_dropped == 60


def test_a_track_from_which_nothing_comes_is_asked_by_its_announced_ssrc() -> None:
    bench = Bench().wait(300)
    assert bench.requests() == [200]
    (request,) = [packet for _, packet in bench.sent if isinstance(packet, PliPacket)]
    assert request == PliPacket(1, 2000)


def test_a_video_nobody_looks_at_is_not_asked_and_nothing_is_waited_for() -> None:
    bench = Bench()
    bench.receiver.want_video({MICROPHONE}, bench.now_ns)
    assert bench.wait(15_000).requests() == []
    assert bench.receiver.is_idle


def test_a_video_that_is_looked_at_again_is_asked_if_it_does_not_begin_by_itself() -> None:
    bench = Bench()
    bench.receiver.want_video((), bench.now_ns)
    bench.wait(5_000)
    bench.receiver.want_video({CAMERA}, bench.now_ns)
    assert not bench.receiver.is_idle
    bench.wait(1_500)
    assert bench.requests() == [5_200, 6_200]


def test_a_video_that_begins_by_itself_once_it_is_looked_at_is_not_asked() -> None:
    bench, sender = Bench(), VideoSender()
    bench.receiver.want_video((), bench.now_ns)
    bench.wait(5_000)
    bench.receiver.want_video(None, bench.now_ns)
    bench.wait(100).feed(sender.frame(is_keyframe=True), gap_ms=5).wait(3_000)
    assert bench.shown == [0]
    assert bench.requests() == []


def test_what_got_lost_while_nobody_looked_is_asked_for_when_somebody_does() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    bench.receiver.want_video((), bench.now_ns)
    sender.frame()
    for _ in range(60):
        bench.feed(sender.frame()).wait(35)
    assert bench.shown == [0]
    assert bench.requests() == []
    bench.receiver.want_video({CAMERA}, bench.now_ns)
    for _ in range(10):
        bench.feed(sender.frame()).wait(35)
    assert bench.requests() == [2_300]


def test_what_the_engine_asks_for_too_early_is_asked_for_when_it_is_wanted() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    bench.receiver.want_video((), bench.now_ns)
    bench.receiver.request_keyframe(CAMERA)
    assert bench.wait(500).requests() == []
    bench.receiver.want_video({CAMERA}, bench.now_ns)
    assert bench.wait(500).requests() == [505]


def test_a_track_that_joins_unseen_is_not_asked_either() -> None:
    bench = Bench()
    bench.receiver.set_tracks({}, bench.now_ns)
    bench.receiver.want_video((), bench.now_ns)
    bench.receiver.set_tracks({CAMERA: VIDEO, MICROPHONE: AUDIO}, bench.now_ns)
    assert bench.wait(3_000).requests() == []


def test_the_engine_gets_at_most_one_request_a_second() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    for _ in range(30):
        bench.receiver.request_keyframe(CAMERA)
        bench.receiver.request_keyframe(MICROPHONE)
        bench.wait(100)
    assert bench.requests() == [5, 1005, 2005]


def test_undecodable_frames_cost_one_request_a_second() -> None:
    bench, sender = Bench(), VideoSender()
    for _ in range(130):
        bench.feed(sender.frame(is_keyframe=True, width=16383, height=16383)).wait(16.7)
    assert bench.frames == []
    assert len(bench.requests()) == 3
    assert bench.statistics.frames_dropped == 130


def test_a_burst_of_loss_too_large_to_repair_is_given_up_at_once() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    for _ in range(250):
        sender.frame()
    bench.feed(sender.frame()).wait(10)
    assert bench.requests() == [5]
    assert bench.nacks() == []
    assert bench.statistics.packets_lost == 750
    bench.feed(sender.frame(is_keyframe=True))
    assert bench.shown == [0, 252]


def test_a_reordered_network_costs_nothing() -> None:
    bench, sender = Bench(), VideoSender()
    packets = sender.frame(is_keyframe=True)
    for _ in range(30):
        packets += sender.frame()
    swapped = packets[:1]
    for index in range(1, len(packets) - 1, 2):
        swapped += [packets[index + 1], packets[index]]
    bench.feed(swapped, gap_ms=2)
    assert bench.shown == list(range(31))
    assert bench.nacks() == []


def test_duplicates_are_dropped_and_counted() -> None:
    bench, video, audio = Bench(), VideoSender(), AudioSender()
    for packet in (*video.frame(is_keyframe=True), *video.frame()):
        bench.feed([packet, packet])
    for packet in (audio.packet(), audio.packet()):
        bench.feed([packet, packet])
    assert bench.shown == [0, 1]
    assert len(bench.frames) == 4
    assert bench.statistics.packets_duplicated == 6
    assert bench.all_statistics[MICROPHONE].packets_duplicated == 2


@pytest.mark.parametrize("jump", [50, 300, 5000, -50, -300, -5000])
def test_an_ssrc_change_starts_an_epoch_at_the_next_keyframe(jump: int) -> None:
    bench, before = Bench(), VideoSender(sequence=10_000)
    bench.feed(before.frame(is_keyframe=True)).feed(before.frame())
    after = VideoSender(
        ssrc=555, sequence=before.sequence + jump, timestamp=before.timestamp, number=100
    )
    bench.feed(after.frame()).wait(300)
    assert bench.requests() == [200]
    bench.feed(after.frame(is_keyframe=True)).feed(after.frame())
    assert bench.shown == [0, 1, 101, 102]
    assert [frame.epoch for frame in bench.frames] == [0, 0, 1, 1]


def test_the_old_ssrc_cannot_take_the_track_back_while_the_new_one_flows() -> None:
    bench, one, other = Bench(), VideoSender(), VideoSender(ssrc=555, number=100)
    bench.feed(one.frame(is_keyframe=True)).feed(other.frame(is_keyframe=True))
    for _ in range(100):
        bench.feed(one.frame(is_keyframe=True)).feed(other.frame()).wait(10)
    assert {frame.epoch for frame in bench.frames} == {0, 1}
    bench.wait(1000).feed(one.frame(is_keyframe=True))
    assert bench.frames[-1].epoch == 2


def test_a_sender_that_restarts_its_numbers_is_followed() -> None:
    bench, sender = Bench(), VideoSender(sequence=100)
    bench.feed(sender.frame(is_keyframe=True))
    sender.sequence = 20_000
    bench.feed(sender.frame(is_keyframe=True)).feed(sender.frame(is_keyframe=True))
    assert bench.shown == [0, 2], "the first packets of a restart are sacrificed"
    assert [frame.epoch for frame in bench.frames] == [0, 1]


def test_a_sender_that_steps_back_a_little_is_followed_too() -> None:
    bench, sender = Bench(), VideoSender(sequence=2000)
    bench.feed(sender.frame(is_keyframe=True))
    sender.sequence = 1500
    for _ in range(7):
        bench.feed(sender.frame(is_keyframe=True)).wait(33)
    assert bench.shown == [0, 6, 7]
    assert [frame.epoch for frame in bench.frames] == [0, 1, 1]


def test_a_timestamp_step_starts_an_epoch_without_losing_a_frame() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    sender.timestamp += 10 * 90_000
    bench.feed(sender.frame()).feed(sender.frame())
    assert bench.shown == [0, 1, 2]
    assert [frame.epoch for frame in bench.frames] == [0, 1, 1]


def test_sequence_and_timestamp_wraps_are_invisible() -> None:
    bench, sender = Bench(), VideoSender(sequence=65_530, timestamp=2**32 - 4000)
    bench.feed(sender.frame(is_keyframe=True))
    for _ in range(5):
        bench.feed(sender.frame()).wait(33)
    assert bench.shown == [0, 1, 2, 3, 4, 5]
    steps = [frame.rtp_timestamp for frame in bench.frames]
    assert steps == [2**32 - 4000 + 3000 * index for index in range(6)]
    assert {frame.epoch for frame in bench.frames} == {0}


def test_audio_leaves_packet_by_packet_with_its_level() -> None:
    bench = Bench()
    sender = AudioSender(extensions={LEVEL_ID: bytes((0x80 | 42,))})
    first, second, third = sender.packet(), sender.packet(), sender.packet()
    bench.feed([first, third, second])
    assert [frame.rtp_timestamp for frame in bench.frames] == [48_000, 49_920, 48_960]
    assert {frame.level_dbov for frame in bench.frames} == {-42}
    assert all(frame.keyframe and frame.data == b"\xf8\xff\xfe" for frame in bench.frames)


def test_lost_audio_is_counted_and_not_asked_for_unless_negotiated() -> None:
    bench, sender = Bench(), AudioSender()
    bench.feed([sender.packet()])
    sender.packet()
    bench.feed([sender.packet()]).wait(1000)
    assert bench.nacks() == []
    assert bench.all_statistics[MICROPHONE].packets_lost == 1

    with_nack = replace(
        AUDIO, codecs=(MediaCodec(111, Codec.OPUS, feedback=("nack",)),), ssrcs=(1000,)
    )
    bench = Bench()
    bench.receiver.set_tracks({TrackId("other"): with_nack}, bench.now_ns)
    bench.feed([sender.packet()])
    sender.packet()
    bench.feed([sender.packet()]).wait(10)
    assert bench.nacks() == [(5, (54,))]


@pytest.mark.parametrize(("bits", "degrees"), [(0, 0), (1, 90), (2, 180), (3, 270), (0x0A, 180)])
def test_orientation_is_degrees_clockwise_and_kept_until_it_changes(
    bits: int, degrees: int
) -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True, extensions={ORIENTATION_ID: bytes((bits,))}))
    bench.feed(sender.frame()).feed(sender.frame(extensions={ORIENTATION_ID: b"\0"}))
    assert [frame.rotation for frame in bench.frames] == [degrees, degrees, 0]


def test_a_goodbye_ends_only_its_ssrc() -> None:
    bench, video, audio = Bench(), VideoSender(), AudioSender()
    bench.feed(video.frame(is_keyframe=True)).feed([audio.packet()])
    bench.receiver.on_rtcp(build_bye([2000, 31337]), bench.now_ns)
    bench.feed(video.frame()).feed([audio.packet()]).wait(100)
    assert bench.shown == [0]
    assert len(bench.frames) == 3
    bench.wait(1000).feed(video.frame(is_keyframe=True))
    assert bench.shown == [0, 2], "it may come back"


def report(ssrc: int, rtp_timestamp: int, ntp: int = 0xE0000000_80000000) -> bytes:
    return build_sender_report(SenderReportPacket(ssrc, ntp, rtp_timestamp, 0, 0))


def test_sender_reports_are_handed_on_unwrapped() -> None:
    bench, sender = Bench(), AudioSender(timestamp=2**32 - 960)
    bench.feed([sender.packet()])
    bench.receiver.on_rtcp(report(1000, 4), bench.now_ns)
    (handed,) = bench.reports
    assert handed.track_id == MICROPHONE
    assert handed.rtp_timestamp == 2**32 + 4
    assert handed.ntp_ns == 0xE0000000 * NS_PER_S + NS_PER_S // 2
    assert handed.epoch == 0


def test_a_sender_report_before_the_media_waits_for_it() -> None:
    bench, sender = Bench(), VideoSender()
    bench.receiver.on_rtcp(report(2000, 89_000), bench.now_ns)
    bench.feed(sender.frame(is_keyframe=True)).wait(10)
    assert [entry.rtp_timestamp for entry in bench.reports] == [89_000]


def test_a_sender_report_of_what_sends_nothing_keeps_nobody_waiting() -> None:
    bench, sender = Bench(), VideoSender()
    bench.receiver.want_video((), bench.now_ns)
    bench.receiver.on_rtcp(report(2000, 89_000), bench.now_ns)
    bench.wait(10)
    assert bench.receiver.is_idle
    bench.feed(sender.frame(is_keyframe=True)).wait(10)
    assert [entry.rtp_timestamp for entry in bench.reports] == [89_000]


def test_a_sender_report_that_does_not_fit_the_media_is_dropped() -> None:
    bench, sender = Bench(), AudioSender()
    bench.feed([sender.packet()])
    bench.receiver.on_rtcp(report(1000, 48_000 + 3600 * 48_000), bench.now_ns)
    bench.receiver.on_rtcp(report(4711, 48_000), bench.now_ns)
    assert bench.wait(100).reports == []


def test_receiver_reports_tell_loss_jitter_and_the_delay_of_the_sender_report() -> None:
    bench, sender = Bench(), AudioSender()
    bench.feed([sender.packet()]).wait(10)
    bench.receiver.on_rtcp(report(1000, 48_000), bench.now_ns)
    for _ in range(9):
        bench.wait(20)
        sender.packet()
        bench.feed([sender.packet()])
    bench.sent.clear()
    bench.wait(820)
    reports = [p.reports for _, p in bench.sent if isinstance(p, ReceiverReportPacket)]
    ((block,),) = [blocks for blocks in reports if blocks[0].ssrc == 1000]
    assert block.packets_lost == 9
    assert block.fraction_lost == 128
    assert block.highest_sequence == 68
    assert block.jitter > 0, "packets came in 20 ms steps but were 40 ms apart"
    assert block.last_report == 0x00008000
    assert block.delay_since_report / 65536 == pytest.approx(1.0, abs=0.01)


def test_the_first_sender_report_is_answered_at_once_and_a_round_trip_is_never_nothing() -> None:
    """Janus, which counts whole milliseconds, repeats nothing before it knows of one at least."""
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True)).wait(300)
    bench.sent.clear()
    for _ in range(2):
        bench.receiver.on_rtcp(report(2000, 89_000), bench.now_ns)
        bench.wait(10)
    ((_, answer),) = [(at, p) for at, p in bench.sent if isinstance(p, ReceiverReportPacket)]
    (block,) = answer.reports
    assert block.last_report == 0x00008000
    held_ms = 1000 * block.delay_since_report / 65536
    assert 3.5 <= held_ms <= 4, "it was held until the next poll, 5 ms later"


def test_each_second_all_streams_are_reported_and_granted_a_bitrate() -> None:
    bench, video, audio = Bench(), VideoSender(), AudioSender()
    bench.feed(video.frame(is_keyframe=True)).feed([audio.packet()]).wait(3000)
    reports = [(when, p) for when, p in bench.sent if isinstance(p, ReceiverReportPacket)]
    assert [when for when, _ in reports] == [5, 5, 1005, 1005, 2005, 2005]
    assert {block.ssrc for _, report in reports[:2] for block in report.reports} == {1000, 2000}
    grants = [p for _, p in bench.sent if isinstance(p, RembPacket)]
    assert len(grants) == 3
    assert grants[0].bitrate_bps == pytest.approx(3_250_000, rel=1e-3)


def test_every_compound_begins_with_a_report_and_is_about_one_stream_only() -> None:
    """Janus takes all of a compound to be about the first stream that is named in it."""
    bench, video, audio = Bench(), VideoSender(), AudioSender()
    bench.feed(video.frame(is_keyframe=True)).feed([audio.packet()])
    video.frame()
    audio.packet()
    bench.feed(video.frame()).feed([audio.packet()])
    bench.receiver.request_keyframe(CAMERA)
    compounds = bench.receiver.poll(bench.now_ns + 20 * NS_PER_MS)
    named = []
    for compound in compounds:
        first, *rest = parse_rtcp(compound)
        assert isinstance(first, ReceiverReportPacket)
        (block,) = first.reports
        feedback = [p for p in rest if isinstance(p, NackPacket | PliPacket)]
        assert {packet.media_ssrc for packet in feedback} <= {block.ssrc}
        named.append((block.ssrc, {type(packet) for packet in feedback}))
    assert dict(named) == {1000: set(), 2000: {NackPacket, PliPacket}}, "Opus asks for nothing"


def test_recovered_packets_still_count_as_lost_on_the_way() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    lost = sender.frame()
    bench.feed([lost[0], lost[2], sender.rtx(lost[1])]).wait(5)
    (block,) = next(p for _, p in bench.sent if isinstance(p, ReceiverReportPacket)).reports
    assert block.packets_lost == 1


def test_h264_is_received_and_a_codec_switch_needs_a_keyframe() -> None:
    both = replace(VIDEO, codecs=(*VIDEO.codecs, MediaCodec(102, Codec.H264, feedback=("nack",))))
    bench, sender = Bench(), VideoSender()
    bench.receiver.set_tracks({CAMERA: both}, bench.now_ns)
    bench.feed(sender.frame(is_keyframe=True))
    sps = bytes.fromhex("6742c00da9018060d828")
    unit = b"".join(b"\0\0\0\1" + nal for nal in (sps, b"\x68\xce\x3c\x80", b"\x65" + bytes(99)))
    payloads = packetise_h264(unit, max_payload_bytes=60)
    packets = [
        packet[:1] + bytes((packet[1] & 0x80 | 102,)) + packet[2:]
        for packet in sender.packets(payloads)
    ]
    bench.feed(packets)
    assert [frame.codec for frame in bench.frames] == [Codec.VP8, Codec.H264]
    assert bench.frames[1].keyframe
    assert bench.frames[1].data.startswith(b"\0\0\0\1\x67")
    assert bench.frames[1].epoch == 0


def test_an_unknown_payload_type_leaves_no_gap() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    (odd,) = sender.packets([b"comfort noise"])
    bench.feed([odd[:1] + bytes((0x80 | 13,)) + odd[2:]])
    bench.feed(sender.frame()).wait(100)
    assert bench.shown == [0, 1]
    assert bench.nacks() == []


def test_tracks_that_stay_go_on_when_others_come_and_go() -> None:
    bench, sender = Bench(), VideoSender()
    bench.feed(sender.frame(is_keyframe=True))
    bench.receiver.set_tracks({CAMERA: VIDEO}, bench.now_ns)
    bench.feed([AudioSender().packet()])
    assert bench.receiver.counters.unknown == 1
    bench.receiver.set_tracks({CAMERA: VIDEO, TrackId("new"): AUDIO}, bench.now_ns)
    bench.feed(sender.frame()).feed([AudioSender().packet()])
    assert bench.shown == [0, 1]
    assert bench.frames[-1].track_id == TrackId("new")
    assert bench.receiver.next_epoch > max(frame.epoch for frame in bench.frames)


def test_a_paused_section_is_not_received() -> None:
    bench = Bench()
    bench.receiver.set_tracks({CAMERA: replace(VIDEO, is_active=False)}, bench.now_ns)
    bench.feed(VideoSender().frame(is_keyframe=True)).wait(1000)
    assert bench.frames == []
    assert bench.requests() == []


@pytest.mark.parametrize("loss_every", [3, 7, 20])
def test_with_regular_loss_and_retransmission_no_frame_is_missing(loss_every: int) -> None:
    bench, sender = Bench(), VideoSender()
    sent: dict[int, bytes] = {}
    count = answered = 0
    for number in range(90):
        for packet in sender.frame(is_keyframe=number == 0):
            count += 1
            sent[int.from_bytes(packet[2:4], "big")] = packet
            if count % loss_every:
                bench.feed([packet])
        bench.wait(33)
        for _, sequences in bench.nacks()[answered:]:
            bench.feed(sender.rtx(sent[sequence]) for sequence in sequences)
        answered = len(bench.nacks())
    assert bench.shown[:80] == list(range(80))
    assert bench.statistics.packets_lost == 0
    assert bench.requests() == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 20),
            st.integers(0, 200),
            st.sampled_from(["cut", "flip", "lose", "repeat", "rtx", "none", "none"]),
        ),
        max_size=60,
    )
)
@settings(max_examples=60)
def test_mangled_packets_raise_nothing_and_leave_memory_bounded(
    faults: list[tuple[int, int, str]],
) -> None:
    bench, sender = Bench(), VideoSender()
    for index, (where, value, fault) in enumerate(faults):
        for packet in sender.frame(is_keyframe=index % 10 == 0):
            match fault:
                case "cut":
                    bench.feed([packet[:where]])
                case "flip":
                    at = where % len(packet)
                    bench.feed([packet[:at] + bytes((value,)) + packet[at + 1 :]])
                case "repeat":
                    bench.feed([packet] * 3)
                case "rtx":
                    bench.feed([sender.rtx(packet)])
                case "none":
                    bench.feed([packet])
            bench.receiver.on_rtcp(packet[:where] + bytes((value,)), bench.now_ns)
        bench.wait(value / 4)
    bench.wait(3000)
    last = VideoSender(ssrc=2000, sequence=sender.sequence + 1, timestamp=sender.timestamp)
    last.number = 999
    for _ in range(10):
        bench.feed(last.frame(is_keyframe=True)).wait(200)
    assert bench.shown[-1] == 1008, "whatever happened, good keyframes are shown again"
