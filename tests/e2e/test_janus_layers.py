"""A browser with three layers behind a real Janus: a job gets the one that fits its tile."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import oracle
from tests.support.browser import chromium
from tests.support.janus import URL, janus_server
from tests.support.janus_browser import janus_page, publishing, yuv_of
from tests.support.janus_cast import ICE, janus_cast
from tests.support.look import Recording
from tests.support.namespace import network_namespace
from tests.support.rehearse import people
from tests.support.seeing import mean_colour
from worker.core.identity import Kind, Source, TrackId, UserId
from worker.core.layout.geometry import Rect, Size
from worker.core.lifecycle import StopReason
from worker.core.planes import VideoPlanes
from worker.core.spec import (
    GalleryLayout,
    JanusSpec,
    JobSpec,
    Layout,
    MixSpec,
    ScreenShareLayout,
    Side,
    StagePolicy,
)
from worker.core.template import parse_template
from worker.engine.clock import LoopClock
from worker.engine.job import Job
from worker.media.encode import EncoderSettings
from worker.media.kit import PyavKit
from worker.ports import (
    EncodedFrame,
    ParticipantJoined,
    RoomEvent,
    RoomListener,
    SenderReport,
    TrackPublished,
)
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.janus_roster import JanusNaming
from worker.sinks.recording import RecordingSink

TILE_OF_NINE = Size(426, 240)
STAGE = Size(960, 720)
SMALL_STRIP = Size(160, 90)
SETTLED_S = 3.0
MEASURED_S = 3.0


class Meter:
    """Bytes and picture sizes of the only camera."""

    def __init__(self) -> None:
        self.camera: TrackId | None = None
        self.bytes = 0
        self.size = Size(0, 0)
        self.began = asyncio.Event()
        self.resized = asyncio.Event()

    def on_event(self, event: RoomEvent) -> None:
        if isinstance(event, TrackPublished) and event.track.kind is Kind.VIDEO:
            self.camera = event.track.track_id

    def on_frame(self, frame: EncodedFrame) -> None:
        if frame.track_id == self.camera:
            self.bytes += len(frame.data)
            if frame.size is not None and frame.size != self.size:
                self.size = frame.size
                self.resized.set()
            self.began.set()

    def on_sender_report(self, report: SenderReport) -> None: ...

    async def kbps(self) -> float:
        """What comes now."""
        before = self.bytes
        await asyncio.sleep(MEASURED_S)
        return (self.bytes - before) * 8 / 1000 / MEASURED_S


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


class MeteredRoom(JanusRoom):
    """A room whose frames are measured on their way into a job."""

    meter: "MeterBefore"

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.began = asyncio.Event()

    async def run(self, listener: RoomListener) -> None:
        self.meter = MeterBefore(listener, "Ann")
        self.began.set()
        await super().run(self.meter)


class MeterBefore(Meter):
    """Measures one user's camera and hands everything on."""

    def __init__(self, listener: RoomListener, user_id: str) -> None:
        super().__init__()
        self._listener = listener
        self._user_id = user_id
        self._participant_id = ""

    def on_event(self, event: RoomEvent) -> None:
        if isinstance(event, ParticipantJoined) and event.participant.user_id == self._user_id:
            self._participant_id = event.participant.participant_id
        elif (
            isinstance(event, TrackPublished) and event.track.participant_id == self._participant_id
        ):
            super().on_event(event)
        self._listener.on_event(event)

    def on_frame(self, frame: EncodedFrame) -> None:
        super().on_frame(frame)
        self._listener.on_frame(frame)

    def on_sender_report(self, report: SenderReport) -> None:
        self._listener.on_sender_report(report)


def mix_of(layout: Layout) -> MixSpec:
    return MixSpec("layers", parse_template("1280x720_15_1130"), layout)


@pytest.mark.soak
@pytest.mark.timeout(120)
async def test_small_tiles_get_small_layers_and_the_stage_gets_the_large_one(
    tmp_path: Path,
) -> None:
    seen: dict[str, tuple[Size, float]] = {}
    room = JanusRoom(url=URL, entry=JanusEntry(1234), clock_ns=time.monotonic_ns, ice=ICE)
    meter = Meter()
    async with (
        janus_server(tmp_path / "janus"),
        janus_page() as page,
        chromium() as browser,
        publishing(browser, page, "Ann", colour="#a03030", simulcast=1),
        asyncio.TaskGroup() as tasks,
    ):
        staying = tasks.create_task(room.run(meter))
        async with asyncio.timeout(10):
            await meter.began.wait()
        assert meter.camera is not None
        await asyncio.sleep(SETTLED_S)
        seen["everything"] = meter.size, await meter.kbps()
        for name, tile in (
            ("one of nine", TILE_OF_NINE),
            ("strip", SMALL_STRIP),
            ("stage", STAGE),
        ):
            room.want_video({meter.camera: tile})
            await asyncio.sleep(SETTLED_S)
            seen[name] = meter.size, await meter.kbps()
        room.want_video({})
        await asyncio.sleep(0.5)
        assert await meter.kbps() == 0
        staying.cancel()
    for name, (size, kbps) in seen.items():
        print(f"{name}: {size.width}x{size.height}, {kbps:.0f} kbit/s")
    assert seen["one of nine"][0] == Size(640, 360)
    assert seen["strip"][0] == Size(320, 180)
    assert seen["stage"][0].height > 360, "the largest layer that this browser manages to send"
    assert seen["strip"][1] < seen["one of nine"][1] < seen["stage"][1]


@pytest.mark.timeout(150)
async def test_a_running_job_gets_a_small_layer_for_a_tile_of_nine_and_the_large_one_on_the_stage(
    tmp_path: Path,
) -> None:
    small = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\n"
    clock, kit = LoopClock(asyncio.get_running_loop()), PyavKit(EncoderSettings())
    room = MeteredRoom(
        url=URL,
        entry=JanusEntry(1234),
        clock_ns=clock.now_ns,
        naming=JanusNaming(user_id_is_display=True),
        ice=ICE,
    )
    path = tmp_path / "layers.mp4"
    spec = JobSpec("layers", JanusSpec(URL, 1234), mix_of(GalleryLayout()), tmp_path, "layers")
    job = Job(spec, room=room, kit=kit, clock=clock, sinks=[RecordingSink(path, kit.mp4)])
    seen: dict[str, tuple[Size, float]] = {}
    async with (
        janus_server(tmp_path / "janus"),
        janus_page() as page,
        chromium() as browser,
        publishing(browser, page, "Ann", colour="#a03030", simulcast=1),
        janus_cast(people(8, defaults=small)),
        asyncio.TaskGroup() as tasks,
    ):
        recording = tasks.create_task(job.run())
        await room.began.wait()
        # Whoever is the first has the whole canvas for a moment, and what is asked for lingers.
        async with asyncio.timeout(20):
            while room.meter.size != Size(640, 360):
                room.meter.resized.clear()
                await room.meter.resized.wait()
        seen["one of nine"] = room.meter.size, await room.meter.kbps()
        stage = ScreenShareLayout(Side.LEFT, StagePolicy.FIXED_USER, UserId("Ann"), Source.CAMERA)
        job.update(mix_of(stage))
        await asyncio.sleep(SETTLED_S)
        seen["stage"] = room.meter.size, await room.meter.kbps()
        job.stop(StopReason.SIGNAL)
        await recording
    for name, (size, kbps) in seen.items():
        print(f"{name}: {size.width}x{size.height}, {kbps:.0f} kbit/s")
    assert seen["one of nine"][0] == Size(640, 360)
    assert seen["stage"][0].height > 360
    assert seen["one of nine"][1] < seen["stage"][1]

    frames = list(Recording(path).frames())
    first = oracle.gallery(9, 1280, 720)[0]
    assert is_ann(frames[60], first)
    # 4:3: the picture lies complete in the stage, with bars above and below.
    assert is_ann(frames[-10], Rect(300, 250, 400, 200))


def is_ann(planes: VideoPlanes, rect: Rect) -> bool:
    """Whether *rect* is filled with the colour of Ann's picture, or with its flash."""
    seen = np.asarray(mean_colour(planes, rect, inset=0.2))
    is_flash = seen[0] > 215 and abs(seen[1] - 128) < 12
    return bool(is_flash or np.abs(seen - yuv_of("#a03030")).max() < 20)
