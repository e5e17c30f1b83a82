"""One camera that changes while it runs: codec, size and rotation, over RTP, into a finished file.

The frames carry their numbers as marks, so that a recording tells which of them it shows.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.fakes.room import FakeRoom, person
from tests.support.look import Recording
from worker.core.identity import Codec, Kind, Source, Track, TrackId, UserId
from worker.core.layout.geometry import Fit, Size
from worker.core.planes import VideoPlanes
from worker.core.spec import CustomLayout, JobSpec, MixSpec, Pane, TestRoomSpec
from worker.core.template import EncodeTemplate
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.engine.clock import LoopClock
from worker.engine.job import Job, JobOptions
from worker.media.encode import X264Encoder
from worker.media.kit import PyavKit
from worker.media.loops import LiveVideoEncoder, VideoSettings
from worker.ports import EncodedFrame, ParticipantJoined, TrackPublished, TrackStatistics
from worker.rooms.media import ORIENTATION_URI, MediaCodec, NegotiatedMedia
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.h264 import packetise_h264
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.rtcp import PliPacket, parse_rtcp
from worker.rooms.rtp.vp8 import packetise_vp8
from worker.rooms.rtp.vp9 import packetise_vp9
from worker.sinks.recording import RecordingSink
from worker.testroom import marks
from worker.testroom.marks import View
from worker.testroom.painter import Painter, Picture
from worker.testroom.person import Person
from worker.testroom.virtual_loop import run_virtual

FPS = 15
CANVAS = Size(640, 480)
CAMERA = Track(TrackId("ada/camera"), person("ada").participant_id, Kind.VIDEO, Source.CAMERA)
PAYLOAD_TYPES = {Codec.VP8: 96, Codec.VP9: 98, Codec.H264: 102}
ORIENTATION_ID = 13
NETWORK_NS = 40 * NS_PER_MS
MAX_PAYLOAD_BYTES = 1150
MEDIA = NegotiatedMedia(
    mid="0",
    kind=Kind.VIDEO,
    is_active=True,
    codecs=tuple(
        MediaCodec(payload_type, codec, feedback=("nack", "nack pli"))
        for codec, payload_type in PAYLOAD_TYPES.items()
    ),
    ssrcs=(2000,),
    extensions={ORIENTATION_URI: ORIENTATION_ID},
)


@dataclass(frozen=True, slots=True)
class Take:
    """A while of one and the same encoding. `size` is what is sent; upright it may be turned."""

    seconds: float
    codec: Codec = Codec.VP8
    size: Size = Size(640, 360)
    rotation: int = 0
    """Clockwise degrees that make the picture upright."""
    lacks_first_frame: bool = False
    """The keyframe it begins with is never sent."""

    @property
    def upright(self) -> Size:
        turned = self.rotation % 180 != 0
        return Size(self.size.height, self.size.width) if turned else self.size

    @property
    def frames(self) -> int:
        return round(self.seconds * FPS)


@dataclass
class Film:
    """What came out of the receive side."""

    takes: Sequence[Take]
    frames: list[EncodedFrame] = field(default_factory=list)
    statistics: TrackStatistics = field(default_factory=TrackStatistics)
    requests_ns: list[int] = field(default_factory=list)
    """When the sender was asked for a keyframe; frame k is sent at k/FPS."""

    @property
    def seconds(self) -> float:
        return sum(take.seconds for take in self.takes)


class _Sender:
    """Paints, encodes and packs the frames of one take after the other, under one SSRC."""

    def __init__(self) -> None:
        self.wants_keyframe = False
        self._sequence = 65_500
        self._take: Take | None = None
        self._encoder: LiveVideoEncoder | None = None
        self._painter: Painter | None = None

    def packets(self, take: Take, number: int) -> Sequence[bytes]:
        is_first = take is not self._take
        if is_first:
            self._change_to(take)
        assert self._encoder is not None
        assert self._painter is not None
        unit = self._encoder.encode(
            turned(self._painter.paint(number), take.rotation), keyframe=self.wants_keyframe
        )
        self.wants_keyframe = False
        if is_first and take.lacks_first_frame:
            return []
        payloads = _payloads(take.codec, unit.data, number, is_keyframe=unit.keyframe)
        return [
            self._packet(take, payload, number, is_last=position == len(payloads) - 1)
            for position, payload in enumerate(payloads)
        ]

    def _change_to(self, take: Take) -> None:
        before, self._take = self._take, take
        picture = Picture(Person(3, "Ada"), Source.CAMERA, take.upright, FPS, 60, 0.3)
        self._painter = Painter(picture)
        if before is None or (before.codec, before.size) != (take.codec, take.size):
            rate_kbps = max(300, take.size.width * take.size.height // 1000)
            self._encoder = LiveVideoEncoder(VideoSettings(take.codec, take.size, FPS, rate_kbps))

    def _packet(self, take: Take, payload: bytes, number: int, *, is_last: bool) -> bytes:
        self._sequence += 1
        return build_rtp(
            payload_type=PAYLOAD_TYPES[take.codec],
            sequence=self._sequence & 0xFFFF,
            timestamp=(1 << 32) - 90_000 + number * 90_000 // FPS,
            ssrc=MEDIA.ssrcs[0],
            payload=payload,
            marker=is_last,
            # 3GPP TS 26.114, 7.4.5: on the last packet of a frame.
            extensions={ORIENTATION_ID: bytes((take.rotation // 90,))} if is_last else None,
        )


def film(takes: Sequence[Take]) -> Film:
    """Send *takes* one after the other to a receiver, which may ask for keyframes."""
    done = Film(takes)
    sender = _Sender()
    statistics = {CAMERA.track_id: done.statistics}
    receiver = PeerReceiver(
        ssrc=1,
        on_frame=done.frames.append,
        on_sender_report=lambda report: None,
        statistics=statistics,
    )
    receiver.set_tracks({CAMERA.track_id: MEDIA}, 0)
    number = 0
    for take in takes:
        for _ in range(take.frames):
            now_ns = number * NS_PER_S // FPS
            for packet in sender.packets(take, number):
                receiver.on_rtp(packet, now_ns + NETWORK_NS)
            number += 1
            for poll_ns in range(now_ns, number * NS_PER_S // FPS, 5 * NS_PER_MS):
                if _is_asked(receiver.poll(poll_ns + NETWORK_NS)):
                    done.requests_ns.append(poll_ns + NETWORK_NS)
                    sender.wants_keyframe = True
    return done


def record(done: Film, directory: Path) -> tuple[Recording, int]:
    """Record *done* in one tile of the whole canvas; also how often an encoder was opened."""
    kit = _CountingKit()
    path = directory / "film.mp4"
    whole = Pane(1, UserId("ada"), Source.CAMERA, 0, 0, 1, 1, fit=Fit.CONTAIN)
    spec = JobSpec(
        job_id="film",
        room=TestRoomSpec("ws://127.0.0.1:1/ws"),
        mix=MixSpec("film", EncodeTemplate(CANVAS, FPS, 500), CustomLayout((whole,))),
        directory=directory,
        name="film",
        max_duration_s=done.seconds,
    )

    async def main() -> None:
        clock = LoopClock(asyncio.get_running_loop())
        script = [
            (0.0, ParticipantJoined(person("ada"))),
            (0.0, TrackPublished(CAMERA)),
            *((frame.arrival_ns / NS_PER_S, frame) for frame in done.frames),
        ]
        job = Job(
            spec,
            room=FakeRoom(clock, script),
            kit=kit,
            clock=clock,
            sinks=[RecordingSink(path, kit.mp4)],
            options=JobOptions(connect_timeout_s=10),
        )
        await job.run()

    run_virtual(main())
    return Recording(path), kit.encoders_opened


def counters(pictures: Iterable[VideoPlanes], takes: Sequence[Take]) -> list[int | None]:
    """The number of the frame each picture shows, upright in one of the shapes of *takes*."""
    shapes = tuple(dict.fromkeys(take.upright for take in takes))
    return [_counter(planes, shapes) for planes in pictures]


def turned(planes: VideoPlanes, degrees: int) -> VideoPlanes:
    """What must be sent for *planes* to be upright after a turn by *degrees* clockwise."""
    turn: Callable[[np.ndarray], np.ndarray] = lambda plane: np.ascontiguousarray(  # noqa: E731
        np.rot90(plane, degrees // 90)
    )
    return VideoPlanes(turn(planes.y), turn(planes.u), turn(planes.v))


def _counter(planes: VideoPlanes, shapes: Sequence[Size]) -> int | None:
    for shape in shapes:
        view = View.of(shape, planes.size, Fit.CONTAIN)
        counter = marks.read_counter(planes.y, view)
        if counter is not None:
            return counter
    return None


def _payloads(codec: Codec, data: bytes, number: int, *, is_keyframe: bool) -> list[bytes]:
    match codec:
        case Codec.H264:
            return packetise_h264(data, max_payload_bytes=MAX_PAYLOAD_BYTES)
        case Codec.VP9:
            return packetise_vp9(
                data,
                is_keyframe=is_keyframe,
                picture_id=number,
                max_payload_bytes=MAX_PAYLOAD_BYTES,
            )
        case _:
            return packetise_vp8(data, picture_id=number, max_payload_bytes=MAX_PAYLOAD_BYTES)


def _is_asked(compounds: Iterable[bytes]) -> bool:
    return any(
        isinstance(packet, PliPacket) for compound in compounds for packet in parse_rtcp(compound)
    )


class _CountingKit(PyavKit):
    """Counts the encoders that are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.encoders_opened = 0

    def video_encoder(self, template: EncodeTemplate) -> X264Encoder:
        self.encoders_opened += 1
        return super().video_encoder(template)
