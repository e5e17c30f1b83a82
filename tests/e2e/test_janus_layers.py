"""A browser with three layers behind a real Janus: the room gets the one that fits its tile."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import chromium
from tests.support.janus import URL, janus_server
from tests.support.janus_browser import janus_page, publishing
from tests.support.janus_cast import ICE
from tests.support.namespace import network_namespace
from worker.core.identity import Kind, TrackId
from worker.core.layout.geometry import Size
from worker.ports import EncodedFrame, RoomEvent, SenderReport, TrackPublished
from worker.rooms.janus import JanusEntry, JanusRoom

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

    def on_event(self, event: RoomEvent) -> None:
        if isinstance(event, TrackPublished) and event.track.kind is Kind.VIDEO:
            self.camera = event.track.track_id

    def on_frame(self, frame: EncodedFrame) -> None:
        if frame.track_id == self.camera:
            self.bytes += len(frame.data)
            self.size = frame.size or self.size
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
