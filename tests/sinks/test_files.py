"""The sink of a record rule where only its own behaviour matters: no media, no real files."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fakes.courier import FakeCourier, FakeRecordEvents
from worker.core.layout.geometry import Size
from worker.core.record.naming import KeyTemplate
from worker.core.record.plan import RecordPlan
from worker.core.record.rule import FileRule, ObjectAddress, RecordFormat, RecordRule
from worker.core.template import EncodeTemplate
from worker.engine.mailbox import Mailbox, Overflow
from worker.errors import DestinationError
from worker.ports import AudioStream, EncodedPacket, Program, StreamKind, VideoStream
from worker.sinks.files import FilesSink
from worker.sinks.mp4_file import mp4_files
from worker.testroom.virtual_loop import run_virtual

FPS = 15
PROGRAM = Program(
    VideoStream(EncodeTemplate(Size(64, 36), FPS, 100), b""), AudioStream(48_000, 2, 128, b"")
)


class LineMuxer:
    """Writes a line for every packet."""

    def __init__(self, path: Path, program: Program) -> None:
        if path.exists():
            raise DestinationError("exists")
        self._path = path
        path.touch()
        self.is_closed = False

    def write(self, packet: EncodedPacket) -> None:
        with self._path.open("a") as file:
            file.write(f"{packet.kind.value} {packet.pts} {packet.duration}\n")

    def close(self) -> None:
        self.is_closed = True
        with self._path.open("a") as file:
            file.write("closed\n")


def second(number: int, *, keyframe: bool = True) -> Sequence[EncodedPacket]:
    """The packets of one second of output."""
    ticks = range(number * FPS, (number + 1) * FPS)
    return [
        *(
            EncodedPacket(StreamKind.VIDEO, b"v", tick, tick, 1, keyframe and tick % FPS == 0)
            for tick in ticks
        ),
        EncodedPacket(StreamKind.AUDIO, b"a", number * 48_000, number * 48_000, 48_000, True),
    ]


class World:
    """A sink, its courier, and the mailbox it is fed from."""

    def __init__(self, tmp_path: Path, cycle_s: int = 3) -> None:
        rule = RecordRule(ObjectAddress("l", "b"), mp4=FileRule(KeyTemplate("x"), cycle_s, 0))
        self.plan = RecordPlan(rule, fps=FPS, unix_offset_s=0)
        self.plan.begin(0)
        self.plan.note(0, present=True)
        self.courier = FakeCourier(tmp_path / "store")
        self.events = FakeRecordEvents()
        self.spool = tmp_path / "spool"
        self.spool.mkdir()
        self.sink = FilesSink(
            job_id="job",
            record_format=RecordFormat.MP4,
            plan=self.plan,
            names=rule.names(RecordFormat.MP4, app_id="a", stream="s"),
            open_file=mp4_files(self.spool, LineMuxer, self.courier),
            events=self.events,
            location="file:///store",
        )
        self.packets: Mailbox[EncodedPacket] = Mailbox(1000, Overflow.FAIL)

    async def feed(self, seconds: int) -> None:
        for number in range(seconds):
            self.plan.advance((number + 1) * FPS - 1)
            for packet in second(number):
                await self.packets.put(packet)
            await asyncio.sleep(1)


def test_files_with_one_name_get_numbers(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        async with asyncio.TaskGroup() as group:
            group.create_task(world.sink.run(PROGRAM, world.packets))
            await world.feed(7)
            world.packets.close()
        keys = [entry["key"] for entry in world.sink.report().details["files"]]
        assert keys == ["x.mp4", "x_1.mp4", "x_2.mp4"]
        assert world.events.kinds().count("FileCompleted") == 3

    run_virtual(main())


def test_a_sink_that_is_cancelled_closes_its_file_and_leaves_it(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        world.courier.gate.clear()
        run = asyncio.create_task(world.sink.run(PROGRAM, world.packets))
        await world.feed(4)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        left = sorted(world.spool.iterdir())
        assert [path.read_text().endswith("closed\n") for path in left] == [True, True]
        states = [entry["state"] for entry in world.sink.report().details["files"]]
        assert states == ["spooled", "spooled"]
        assert world.events.kinds() == ["FileStarted", "FileStarted"]

    run_virtual(main())


def test_an_end_before_anything_came_leaves_nothing(tmp_path):
    async def main() -> None:
        world = World(tmp_path)
        world.packets.close()
        await world.sink.run(PROGRAM, world.packets)
        assert world.sink.report().details["files"] == []
        assert world.events.published == []
        assert list(world.spool.iterdir()) == []

    run_virtual(main())


def test_what_the_courier_does_not_take_stays_in_the_spool_and_is_said(tmp_path):
    async def main() -> None:
        world = World(tmp_path, cycle_s=60)
        world.courier.refusal = lambda what, key: (
            DestinationError("no space for its papers") if what == "collect" else None
        )
        run = asyncio.create_task(world.sink.run(PROGRAM, world.packets))
        await world.feed(2)
        world.packets.close()
        with pytest.raises(DestinationError, match="no space for its papers"):
            await run
        (entry,) = world.sink.report().details["files"]
        assert entry["state"] == "spooled"
        assert entry["size"] == next(world.spool.iterdir()).stat().st_size
        assert world.events.published == []

    run_virtual(main())
