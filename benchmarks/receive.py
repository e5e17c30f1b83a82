"""What receiving costs: CPU per packet of the thread that receives, by stage.

First as fast as the machine can, without sockets: what the code itself costs. Then in real time
over loopback, with the sender in another process, one socket per participant: what it costs in a
worker, where the processor has done something else before each packet. Stages add up:

    reading   the kernel, the wake-ups (100 a second, with nothing to do in them), the reader
    + SRTP    sorting and decrypting
    + RTP     parsing, demultiplexing, frames
    + RTCP    sender reports in, receiver reports and feedback out, everything due looked for
    asyncio   all of that with asyncio reading one datagram per wake-up instead
"""

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

from receive_load import (
    AUDIO,
    LOADS,
    VIDEO,
    Load,
    Timed,
    inbound,
    media_of_one,
    protected_of_one,
    transport,
)

from worker.core.identity import TrackId
from worker.rooms.datagrams import DatagramPath
from worker.rooms.peer import RECEIVE_BUFFER_BYTES
from worker.rooms.private import SRTP_BUFFER_BYTES, IceInternals, OutboundSrtp
from worker.rooms.reader import READ_INTERVAL_S, DatagramReader
from worker.rooms.receive.receiver import PeerReceiver

CONNECTIONS = (1, 9, 25)
REPEATS = 3
SO_MEMINFO = 55
SO_RCVBUFFORCE = 33


class Stage(IntEnum):
    READING = 0
    SRTP = 1
    RTP = 2
    RTCP = 3


class AnyoneIce:
    """Lets everybody through."""

    def is_validated(self, address: object) -> bool:
        return True


class Participant:
    """The receive side of one participant, up to a stage."""

    def __init__(self, stage: Stage = Stage.RTCP) -> None:
        self.frames = 0
        self.packets = 0
        self.receiver = PeerReceiver(
            ssrc=9,
            on_frame=self._count_frame,
            on_sender_report=lambda report: None,
            statistics={},
        )
        self.receiver.set_tracks({TrackId("mic"): AUDIO, TrackId("cam"): VIDEO}, 0)
        self.path = DatagramPath(
            cast(IceInternals, AnyoneIce()),
            clock_ns=time.monotonic_ns,
            on_rtp=self.receiver.on_rtp if stage >= Stage.RTP else self._count_packet,
            on_rtcp=self.receiver.on_rtcp if stage >= Stage.RTCP else self._count_packet,
        )
        self.path.open(inbound())
        self.outbound = OutboundSrtp(transport())

    def _count_frame(self, frame: object) -> None:
        self.frames += 1

    def _count_packet(self, packet: bytes, arrival_ns: int) -> None:
        self.packets += 1


# --- without sockets ----------------------------------------------------------------------------


def assembled(packets: list[Timed]) -> float:
    people = [Participant() for _ in range(max(CONNECTIONS))]
    began = time.process_time()
    for when, packet in packets:
        for person in people:
            person.receiver.on_rtp(packet, when)
    return time.process_time() - began


def decrypted(packets: list[Timed]) -> float:
    people = [Participant() for _ in range(max(CONNECTIONS))]
    address = ("127.0.0.1", 1)
    protocol: Any = None
    began = time.process_time()
    for when, packet in packets:
        for person in people:
            person.path.receive(protocol, packet, address, when)
    return time.process_time() - began


def bare(load: Load, seconds: int) -> None:
    """Print what the code costs when nothing else runs."""
    for label, run, packets in (
        ("parsed and assembled", assembled, media_of_one(load, seconds)),
        ("decrypted before that", decrypted, protected_of_one(load, seconds)),
    ):
        cpu_s = min(run(packets) for _ in range(REPEATS))
        print(f"{label:24} {cpu_s / len(packets) / max(CONNECTIONS) * 1e6:6.1f} us per packet")


# --- in real time -------------------------------------------------------------------------------


def open_socket() -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)
    return udp


def kernel_drops(udp: socket.socket) -> int:
    """Datagrams that found the socket's buffer full (the ninth word of SO_MEMINFO)."""
    return int.from_bytes(udp.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36)[32:], sys.byteorder)


class OneByOne(asyncio.DatagramProtocol):
    """asyncio's own way."""

    def __init__(self, handle: Callable[[bytes, Any], None]) -> None:
        self._handle = handle

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._handle(data, addr)


def start_sender(load: str, seconds: int, sockets: list[socket.socket]) -> subprocess.Popen[str]:
    """A process that has just begun to send to *sockets*; it ends when it has sent all."""
    order = {
        "ports": [udp.getsockname()[1] for udp in sockets],
        "load": load,
        "seconds": seconds,
    }
    sender = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("receive_load.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    with sender.stdin as orders, sender.stdout as answers:
        orders.write(json.dumps(order) + "\n")
        orders.flush()
        answers.readline()
        orders.write("\n")
    return sender


async def receive(
    load: str, count: int, seconds: int, stage: Stage, *, is_batched: bool
) -> tuple[float, int]:
    """CPU in us per packet of this thread, and datagrams dropped by the kernel."""
    loop = asyncio.get_running_loop()
    people = [Participant(stage) for _ in range(count)]
    sockets = [open_socket() for _ in people]
    reader = DatagramReader(clock_ns=time.monotonic_ns) if is_batched else None
    came = 0

    def discard(datagram: bytes, address: Any, arrival_ns: int = 0) -> None:
        nonlocal came
        came += 1

    transports = []
    for person, udp in zip(people, sockets, strict=True):
        path = person.path

        def handle(
            datagram: bytes, address: Any, arrival_ns: int | None = None, path: Any = path
        ) -> None:
            path.receive(None, datagram, address, arrival_ns)

        handler = cast(Any, discard if stage is Stage.READING else handle)
        if reader is not None:
            reader.add(udp, handler, path.note_overflow)
        else:
            endpoint, _ = await loop.create_datagram_endpoint(
                lambda handler=handler: OneByOne(handler),  # type: ignore[misc]
                sock=udp,
            )
            endpoint.max_size = SRTP_BUFFER_BYTES  # type: ignore[attr-defined]
            transports.append(endpoint)
    back = ("127.0.0.1", 9)
    sender = start_sender(load, seconds, sockets)
    began = time.thread_time()
    ticks_left = 10
    while ticks_left:
        ticks_left -= sender.poll() is not None  # waits for what is under way at the end
        await asyncio.sleep(READ_INTERVAL_S)
        if reader is not None:
            reader.read()
        if stage is Stage.RTCP:
            now_ns = time.monotonic_ns()
            for person, udp in zip(people, sockets, strict=True):
                for compound in person.receiver.poll(now_ns):
                    udp.sendto(person.outbound.rtcp(compound) or b"", back)
    cpu_s = time.thread_time() - began
    drops = sum(kernel_drops(udp) for udp in sockets)
    for endpoint in transports:
        endpoint.close()
    await asyncio.sleep(0)
    if reader is not None:
        reader.close()
    for udp in sockets:
        udp.close()
    expected = len(protected_of_one(LOADS[load], seconds)) * count
    if stage >= Stage.RTP:
        frames = (50 + LOADS[load].fps) * seconds * count
        assert sum(person.frames for person in people) == frames, "frames are missing"
    elif stage is Stage.SRTP:
        assert sum(person.packets for person in people) == expected, "packets are missing"
    else:
        assert came == expected, "datagrams are missing"
    return cpu_s / expected * 1e6, drops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4, help="of each run in real time")
    seconds = parser.parse_args().seconds
    print("as fast as possible, 25 x 360p30")
    bare(LOADS["360p30"], 4)
    print("\nin real time: us of CPU per packet")
    columns = ("reading", "+ SRTP", "+ RTP", "+ RTCP", "asyncio", "dropped")
    print(f"{'load':8} {'people':>6} {'pkt/s':>6}  " + " ".join(f"{name:>8}" for name in columns))
    for name, load in LOADS.items():
        for count in CONNECTIONS:
            runs = [
                asyncio.run(receive(name, count, seconds, stage, is_batched=True))
                for stage in Stage
            ]
            runs.append(asyncio.run(receive(name, count, seconds, Stage.RTCP, is_batched=False)))
            cells = " ".join(f"{us:8.1f}" for us, _ in runs)
            drops = sum(dropped for _, dropped in runs)
            print(f"{name:8} {count:6} {count * load.packets_per_s:6}  {cells} {drops:8}")


if __name__ == "__main__":
    main()
