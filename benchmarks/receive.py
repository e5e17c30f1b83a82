"""What receiving costs: CPU per packet and per 25 participants, with and without SRTP.

The load is 25 participants at 360p30: Opus every 20 ms and three VP8 packets per frame, so
3500 packets/s. "assembled" is parsing, demultiplexing and assembly alone; "decrypted" adds the
SRTP check in front of it; "from the socket" adds asyncio and the kernel, one datagram a time.
"""

import asyncio
import os
import socket
import time
from types import SimpleNamespace
from typing import Any, cast

from pylibsrtp import Policy, Session

from worker.core.identity import Codec, Kind, TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.datagrams import DatagramPath
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, MediaCodec, NegotiatedMedia
from worker.rooms.private import IceInternals, InboundSrtp, OutboundSrtp
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.packet import build_rtp
from worker.rooms.rtp.vp8 import packetise_vp8

PARTICIPANTS = 25
SECONDS = 4
FRAME_BYTES = 2080  # 500 kbit/s at 30 fps
REPEATS = 3
PACKETS_PER_S = PARTICIPANTS * (50 + 30 * 3)

AUDIO = NegotiatedMedia(
    "0",
    Kind.AUDIO,
    True,
    (MediaCodec(111, Codec.OPUS),),
    ssrcs=(1,),
    extensions={MID_URI: 4, AUDIO_LEVEL_URI: 1},
)
VIDEO = NegotiatedMedia(
    "1",
    Kind.VIDEO,
    True,
    (MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli")),),
    ssrcs=(2,),
    rtx_ssrcs={3: 2},
    extensions={MID_URI: 4},
)


def packets_of_one() -> list[tuple[int, bytes]]:
    """What one participant sends: time in ns and packet."""
    sent: list[tuple[int, bytes]] = []
    for index in range(50 * SECONDS):
        packet = build_rtp(
            payload_type=111,
            sequence=index,
            timestamp=960 * index,
            ssrc=1,
            payload=bytes(73),
            extensions={1: b"\x30"},
        )
        sent.append((index * 20 * NS_PER_MS, packet))
    sequence = 0
    for index in range(30 * SECONDS):
        keyframe = b"\x10\0\0\x9d\x01\x2a\x80\x02\x68\x01"
        frame = (keyframe if index == 0 else b"\x11\0\0").ljust(FRAME_BYTES, b"\1")
        payloads = packetise_vp8(frame, picture_id=index, max_payload_bytes=700)
        for position, payload in enumerate(payloads):
            packet = build_rtp(
                payload_type=96,
                sequence=sequence,
                timestamp=3000 * index,
                ssrc=2,
                payload=payload,
                marker=position == len(payloads) - 1,
            )
            sent.append((index * NS_PER_S // 30 + position, packet))
            sequence += 1
    return sorted(sent)


class Participant:
    """The receive side of one participant, and what comes to it."""

    def __init__(self, plain: list[tuple[int, bytes]]) -> None:
        key = os.urandom(44)
        profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
        sessions = cast(
            Any,
            SimpleNamespace(
                _tx_srtp=Session(Policy(key, Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)),
                _rx_srtp=Session(Policy(key, Policy.SSRC_ANY_INBOUND, srtp_profile=profile)),
            ),
        )
        outbound = OutboundSrtp(sessions)
        self.protected = [(when, outbound.rtp(packet) or b"") for when, packet in plain]
        self.frames = 0
        self.receiver = PeerReceiver(
            ssrc=9,
            on_frame=self._count,
            on_sender_report=lambda report: None,
            statistics={},
        )
        self.receiver.set_tracks({TrackId("mic"): AUDIO, TrackId("cam"): VIDEO}, 0)
        self.path = DatagramPath(
            cast(IceInternals, SimpleNamespace(is_validated=lambda address: True)),
            clock_ns=time.monotonic_ns,
            on_rtp=self.receiver.on_rtp,
            on_rtcp=self.receiver.on_rtcp,
        )
        self.path.open(InboundSrtp(sessions))

    def _count(self, frame: object) -> None:
        self.frames += 1


def report(label: str, cpu_s: float, packets: int) -> None:
    us = cpu_s / packets * 1e6
    cores = us * PACKETS_PER_S / 1e6
    print(f"{label:28} {us:7.2f} us per packet   {cores:6.3f} core for {PARTICIPANTS} at 360p30")


def assembled(plain: list[tuple[int, bytes]]) -> float:
    people = [Participant(plain) for _ in range(PARTICIPANTS)]
    began = time.process_time()
    for when, packet in plain:
        for person in people:
            person.receiver.on_rtp(packet, when)
    cpu_s = time.process_time() - began
    assert all(person.frames == 80 * SECONDS for person in people)
    return cpu_s


def polled(plain: list[tuple[int, bytes]]) -> float:
    """CPU of the 5 ms polls of all participants for the load's duration."""
    people = [Participant(plain) for _ in range(PARTICIPANTS)]
    for person in people:
        for when, packet in plain[:200]:
            person.receiver.on_rtp(packet, when)
    began = time.process_time()
    for now_ns in range(0, SECONDS * NS_PER_S, 5 * NS_PER_MS):
        for person in people:
            person.receiver.poll(now_ns)
    return time.process_time() - began


def decrypted(plain: list[tuple[int, bytes]]) -> float:
    people = [Participant(plain) for _ in range(PARTICIPANTS)]
    address = ("127.0.0.1", 1)
    began = time.process_time()
    for index in range(len(plain)):
        for person in people:
            person.path.receive(cast(Any, None), person.protected[index][1], address)
    cpu_s = time.process_time() - began
    assert all(person.frames == 80 * SECONDS for person in people)
    return cpu_s


async def from_the_socket(plain: list[tuple[int, bytes]]) -> float:
    """CPU of receiving alone: the cost of sending is measured before and taken off."""
    person = Participant(plain)
    loop = asyncio.get_running_loop()
    received = 0

    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            nonlocal received
            received += 1
            person.path.receive(cast(Any, None), data, addr)

    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    if hasattr(transport, "max_size"):
        transport.max_size = 2048
    target = transport.get_extra_info("sockname")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
    ):
        sink.bind(("127.0.0.1", 0))
        began = time.process_time()
        for _, packet in person.protected:
            sender.sendto(packet, sink.getsockname())
        sending_s = time.process_time() - began
        began = time.process_time()
        for index, (_, packet) in enumerate(person.protected):
            sender.sendto(packet, target)
            if index % 8 == 7:
                while received <= index - 8:  # noqa: ASYNC110 - the loop must spin
                    await asyncio.sleep(0)
        while received < len(person.protected):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
        cpu_s = time.process_time() - began
    transport.close()
    return cpu_s - sending_s


def main() -> None:
    plain = packets_of_one()
    many = len(plain) * PARTICIPANTS
    report("assembled", min(assembled(plain) for _ in range(REPEATS)), many)
    report("decrypted and assembled", min(decrypted(plain) for _ in range(REPEATS)), many)
    report(
        "from the socket, asyncio",
        min(asyncio.run(from_the_socket(plain)) for _ in range(REPEATS)),
        len(plain),
    )
    try:
        import uvloop
    except ImportError:
        pass
    else:
        report(
            "from the socket, uvloop",
            min(uvloop.run(from_the_socket(plain)) for _ in range(REPEATS)),
            len(plain),
        )
    cores = min(polled(plain) for _ in range(REPEATS)) / SECONDS
    print(f"{'polling every 5 ms':28} {'':7}                 {cores:6.3f} core")


if __name__ == "__main__":
    main()
