"""One hostile publisher among honest ones, over real connections on 127.0.0.1.

Whatever it sends, the others lose no frame and the event loop is not held up. How long one tick of
the loop takes is measured in CPU time of its thread, so that a busy machine does not count against
it.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.rooms.rtp_material import AudioSender, VideoSender
from tests.support.connecting import CAMERA, ICE, MICROPHONE, connect
from worker.core.identity import Kind, TrackId
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.media import AnswerResult
from worker.rooms.peer import Peer, PeerState
from worker.rooms.reader import READ_INTERVAL_S, DatagramReader
from worker.rooms.receive.receiver import PeerReceiver

HONEST = 3
SEED = 20_240_607
LONG_TICK_MS = 50.0
MAX_LONG_TICKS_PER_S = 0.1
"""A machine that stands still for a moment leaves a backlog, worked off in one tick. What a packet
can do to the loop would be done hundreds of times: all kinds of packets come again and again."""
GRACE_S = 1.0


@dataclass
class Connection:
    """Our end of one connection."""

    reader: DatagramReader
    frames: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    statistics: dict[TrackId, TrackStatistics] = field(default_factory=dict)
    kinds: dict[TrackId, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.receiver = PeerReceiver(
            ssrc=9,
            on_frame=self._count,
            on_sender_report=lambda report: None,
            statistics=self.statistics,
        )
        self.peer = Peer(
            ice=ICE,
            clock_ns=time.monotonic_ns,
            on_rtp=self.receiver.on_rtp,
            on_rtcp=self.receiver.on_rtcp,
            reader=self.reader,
        )

    def set_tracks(self, result: AnswerResult) -> None:
        media = {TrackId(entry.mid): entry for entry in result.media}
        self.kinds = {track_id: entry.kind for track_id, entry in media.items()}
        self.receiver.set_tracks(media, time.monotonic_ns())

    def poll(self) -> None:
        for compound in self.receiver.poll(time.monotonic_ns()):
            self.peer.send_rtcp(compound)

    def _count(self, frame: EncodedFrame) -> None:
        self.frames[self.kinds[frame.track_id]] += 1


@dataclass
class Honest:
    """A publisher in this process: Opus and 30 pictures a second, a keyframe each second."""

    connection: Connection
    sent: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))

    def __post_init__(self) -> None:
        self.peer = Peer(ice=ICE, clock_ns=time.monotonic_ns)

    async def send(self) -> None:
        audio, video = AudioSender(), VideoSender(timestamp=0, step=3000)
        began_s = time.monotonic()
        while True:
            elapsed_s = time.monotonic() - began_s
            while self.sent[Kind.AUDIO] < elapsed_s * 50:
                self.peer.send_rtp(audio.packet())
                self.sent[Kind.AUDIO] += 1
            while self.sent[Kind.VIDEO] < elapsed_s * 30:
                number = self.sent[Kind.VIDEO]
                for packet in video.frame(is_keyframe=number % 30 == 0, size=2000):
                    self.peer.send_rtp(packet)
                self.sent[Kind.VIDEO] += 1
            await asyncio.sleep(0.01)


class Villain:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def say(self, what: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def hear(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the hostile process has died"
        return json.loads(line)


@dataclass
class Scene:
    """A room with one villain, whose media is received like everybody's."""

    reader: DatagramReader
    honest: list[Honest]
    villain: Villain
    connection: Connection
    ticks_ms: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    suffered_s: float = 0.0

    async def receive(self) -> None:
        """What a room's task does, watched by a clock of CPU time."""
        last = time.thread_time()
        while True:
            await asyncio.sleep(READ_INTERVAL_S)
            began = time.thread_time()
            self.ticks_ms.append(1000 * (began - last))
            last = began
            self.reader.read()
            for connection in (self.connection, *(one.connection for one in self.honest)):
                connection.poll()
            self.cpu_s += time.thread_time() - began

    async def suffer(self) -> int:
        """Let the villain do its worst while the others send; returns how many it sent."""
        async with asyncio.TaskGroup() as tasks:
            sending = [tasks.create_task(one.send()) for one in self.honest]
            await asyncio.sleep(GRACE_S)
            self.ticks_ms.clear()
            self.cpu_s = 0
            began_s = time.monotonic()
            self.villain.say({})
            sent: int = (await self.villain.hear())["sent"]
            await asyncio.sleep(GRACE_S)
            self.suffered_s = time.monotonic() - began_s
            for task in sending:
                task.cancel()
        await asyncio.sleep(GRACE_S / 4)
        return sent

    def check(self) -> None:
        """Nobody has lost anything."""
        long_ms = sorted(tick_ms for tick_ms in self.ticks_ms if tick_ms > LONG_TICK_MS)
        assert len(long_ms) <= 1 + MAX_LONG_TICKS_PER_S * self.suffered_s, long_ms
        for one in self.honest:
            assert one.connection.frames == one.sent
            assert one.connection.peer.state is PeerState.CONNECTED
            assert one.connection.peer.counters.overflowed == 0
        assert self.connection.peer.state is PeerState.CONNECTED, "not even the villain is out"
        assert self.connection.peer.counters.faults == 0


@asynccontextmanager
async def room_with_a_villain(*, packets: int, per_s: int) -> AsyncIterator[Scene]:
    reader = DatagramReader(clock_ns=time.monotonic_ns)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.hostile_publisher",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    scene = Scene(reader, [], Villain(process), Connection(reader))
    try:
        for _ in range(HONEST):
            one = Honest(Connection(reader))
            scene.honest.append(one)
            peer = one.connection.peer
            one.connection.set_tracks(
                await connect(one.peer, peer, MICROPHONE, CAMERA, reader=reader)
            )
        scene.villain.say({"seed": SEED, "packets": packets, "per_s": per_s})
        result = await scene.connection.peer.answer((await scene.villain.hear())["sdp"])
        scene.connection.set_tracks(result)
        scene.villain.say({"sdp": result.sdp})
        async with asyncio.TaskGroup() as tasks:
            receiving = tasks.create_task(scene.receive())
            await scene.connection.peer.connect()
            await scene.villain.hear()
            yield scene
            scene.villain.say({})
            receiving.cancel()
    finally:
        for one in scene.honest:
            await one.peer.close()
            await one.connection.peer.close()
        await scene.connection.peer.close()
        reader.close()
        if process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()


@pytest.fixture(autouse=True)
def frozen_heap() -> Iterator[None]:
    """As in a worker: what the test tools keep costs 60 ms in every full garbage collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("packets", [100_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
async def test_hostile_packets_of_one_publisher_cost_nobody_else_a_frame(packets: int) -> None:
    async with room_with_a_villain(packets=packets, per_s=6_000) as scene:
        scene.connection.peer._path.expect(1000)  # here the parsers are to see all of it
        began_s = time.monotonic()
        sent = await scene.suffer()
        took_s = time.monotonic() - began_s
        scene.check()
    assert sent >= packets
    counters, receiver = scene.connection.peer.counters, scene.connection.receiver
    frames = sum(sum(one.sent.values()) for one in scene.honest)
    print(
        f"seed {SEED}: {sent} hostile packets sent in {took_s:.1f} s; longest tick of the loop "
        f"{max(scene.ticks_ms):.1f} ms of CPU; {frames} frames of {HONEST} others, none lost; "
        f"receiving took {1e6 * scene.cpu_s / counters.received:.1f} us per packet; {counters}, "
        f"{receiver.counters}"
    )
    assert counters.received + counters.overflowed >= 0.98 * sent
    reached = counters.received - counters.unauthentic - counters.replayed - counters.over_limit
    assert reached >= 0.8 * counters.received
    assert counters.received >= 0.3 * sent, "the kernel dropped most of it"


async def test_a_hundred_times_too_many_packets_are_dropped_before_they_cost_much() -> None:
    async with room_with_a_villain(packets=60_000, per_s=1_000_000) as scene:
        scene.connection.peer._path.expect(1)
        began_s = time.monotonic()
        sent = await scene.suffer()
        took_s = time.monotonic() - began_s - 2 * GRACE_S
        scene.check()
    counters = scene.connection.peer.counters
    print(
        f"{sent} packets in {took_s:.1f} s, {counters.overflowed} dropped by the kernel, "
        f"{counters.over_budget} over budget; receiving took {scene.cpu_s:.2f} s of CPU"
    )
    assert counters.overflowed + counters.over_budget > sent / 4
