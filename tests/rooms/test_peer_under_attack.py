"""STUN and DTLS nobody asked for, in masses, at a peer with a batched reader on 127.0.0.1."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from OpenSSL import SSL

from tests.rooms.rtp_material import AudioSender
from tests.support.connecting import ICE, MICROPHONE, connect
from worker.rooms.datagrams import CHECKS_PER_S, DTLS_BURST_S, DTLS_PER_S
from worker.rooms.peer import Peer, PeerState
from worker.rooms.private import MAX_PAIRS
from worker.rooms.reader import DatagramReader

DEADLINE_S = 60
DATAGRAMS = 10_000
BURST = 100
MAX_CPU_US = 30.0
"""Per unwanted datagram, all included; some 5 on a quiet machine. At 3000 a second, which is a
lot of handshakes, that is a tenth of a core."""
STUN_COOKIE = bytes.fromhex("2112a442")


@dataclass
class Attacked:
    """A connected pair; the victim reads in batches, when told to."""

    reader: DatagramReader
    publisher: Peer
    victim: Peer
    received: list[bytes] = field(default_factory=list)

    @property
    def username(self) -> bytes:
        return self.victim._internals._username + b"them"

    @property
    def address(self) -> tuple[str, int]:
        pair = self.victim._internals.selected_pair()
        assert pair is not None
        return pair.local_addr

    def send_as_publisher(self, datagram: bytes) -> None:
        pair = self.publisher._internals.selected_pair()
        assert pair is not None
        pair.protocol.transport.sendto(datagram, pair.remote_addr)

    async def flood(self, send: Callable[[bytes], object], datagrams: list[bytes]) -> float:
        """CPU in us per datagram that receiving took, sending left out."""
        cpu_s = 0.0
        before = self.victim.counters.received
        for at in range(0, len(datagrams), BURST):
            for datagram in datagrams[at : at + BURST]:
                send(datagram)
            began = time.thread_time()
            self.reader.read()
            for _ in range(5):
                await asyncio.sleep(0)  # whoever was woken by what came
            cpu_s += time.thread_time() - began
        assert self.victim.counters.received >= before + len(datagrams)
        return cpu_s / len(datagrams) * 1e6

    async def is_alive(self) -> bool:
        """Whether media still gets through."""
        before = len(self.received)
        self.publisher.send_rtp(AudioSender(sequence=before).packet())
        while len(self.received) == before:
            await asyncio.sleep(0.005)
            self.reader.read()
        return self.victim.state is PeerState.CONNECTED


@asynccontextmanager
async def attacked() -> AsyncIterator[Attacked]:
    reader = DatagramReader(clock_ns=time.monotonic_ns)
    received: list[bytes] = []
    publisher = Peer(ice=ICE, clock_ns=time.monotonic_ns)
    victim = Peer(
        ice=ICE,
        clock_ns=time.monotonic_ns,
        on_rtp=lambda packet, arrival_ns: received.append(packet),
        reader=reader,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            await connect(publisher, victim, MICROPHONE, reader=reader)
            yield Attacked(reader, publisher, victim, received)
    finally:
        await publisher.close()
        await victim.close()
        reader.close()


def binding_request(transaction: bytes, username: bytes | None = None) -> bytes:
    body = b""
    if username is not None:
        body = b"\0\6" + len(username).to_bytes(2, "big") + username + bytes(-len(username) % 4)
        body += b"\0\x24\0\4" + bytes(4)  # PRIORITY
        body += b"\0\x08\0\x14" + bytes(20)  # MESSAGE-INTEGRITY, wrong
    return b"\0\1" + len(body).to_bytes(2, "big") + STUN_COOKIE + transaction + body


def answers(stranger: socket.socket) -> int:
    count = 0
    while True:
        try:
            stranger.recv(2000)
        except BlockingIOError:
            return count
        count += 1


@pytest.mark.parametrize("kind", ["requests", "answers", "noise"])
async def test_strangers_flooding_with_stun_get_no_answer(kind: str) -> None:
    noise = random.Random(kind)
    datagrams = []
    for _ in range(DATAGRAMS):
        if kind == "requests":
            datagrams.append(binding_request(noise.randbytes(12), b"guess:them"))
        elif kind == "answers":
            datagrams.append(b"\1\1\0\0" + STUN_COOKIE + noise.randbytes(12))
        else:
            datagrams.append(bytes((noise.randrange(4),)) + noise.randbytes(noise.randrange(60)))
    async with attacked() as scene:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            us = await scene.flood(lambda data: stranger.sendto(data, scene.address), datagrams)
            assert answers(stranger) == 0
        print(f"STUN {kind}: {us:.1f} us each")
        assert us < MAX_CPU_US
        assert scene.victim.counters.faults == 0
        assert await scene.is_alive()


async def test_who_knows_our_name_but_not_the_password_is_answered_a_little() -> None:
    noise = random.Random(1)
    async with attacked() as scene:
        requests = [binding_request(noise.randbytes(12), scene.username) for _ in range(DATAGRAMS)]
        began_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            us = await scene.flood(lambda data: stranger.sendto(data, scene.address), requests)
            answered = answers(stranger)
        took_s = time.monotonic() - began_s
        print(f"unauthentic checks: {us:.1f} us each, {answered} answered in {took_s:.2f} s")
        assert answered <= CHECKS_PER_S * (2 + took_s) + 1
        assert us < MAX_CPU_US
        assert await scene.is_alive()


async def test_a_publisher_with_ten_thousand_addresses_is_followed_to_a_few() -> None:
    async with attacked() as scene:
        internals = scene.victim._internals
        connection = internals._connection
        for port in range(1, 10_000):
            if internals.has_room_for(("192.0.2.1", port)):
                connection._check_list.append(_pair(scene, port))
        assert len(connection._check_list) == MAX_PAIRS
        assert internals.has_room_for(scene.address[:1] + (_publisher_port(scene),))
        del connection._check_list[1:]


def _publisher_port(scene: Attacked) -> int:
    pair = scene.victim._internals.selected_pair()
    assert pair is not None
    return pair.remote_addr[1]


def _pair(scene: Attacked, port: int) -> object:
    pair = scene.victim._internals.selected_pair()
    assert pair is not None
    candidate = type(pair.remote_candidate)(
        foundation="x", component=1, transport="udp", priority=1, host="192.0.2.1", port=port,
        type="prflx",
    )  # fmt: skip
    return type(pair)(pair.protocol, candidate)


@pytest.mark.parametrize("kind", ["hello", "record", "noise"])
async def test_dtls_in_masses_from_the_publisher_costs_little_and_closes_nothing(kind: str) -> None:
    noise = random.Random(kind)
    async with attacked() as scene:
        counters = scene.victim.counters
        us = await scene.flood(
            scene.send_as_publisher, [_dtls(kind, noise) for _ in range(DATAGRAMS)]
        )
        print(f"DTLS {kind}: {us:.1f} us each, {counters.over_budget} over budget")
        assert us < MAX_CPU_US
        assert counters.over_budget >= DATAGRAMS - (DTLS_BURST_S + DEADLINE_S) * DTLS_PER_S
        assert counters.faults == 0
        assert await scene.is_alive()


def _dtls(kind: str, noise: random.Random) -> bytes:
    if kind == "noise":
        return bytes((noise.randrange(20, 64),)) + noise.randbytes(noise.randrange(200))
    if kind == "record":
        body = noise.randbytes(noise.randrange(1, 200))
        header = bytes((noise.randrange(20, 25),)) + b"\xfe\xfd" + noise.randbytes(8)
        return header + len(body).to_bytes(2, "big") + body
    hello = (
        b"\xfe\xfd" + noise.randbytes(32) + b"\0\0" + b"\0\2\xc0\x2b" + b"\1\0"
    )  # version, random, no session, no cookie, one suite, no compression
    handshake = b"\1" + len(hello).to_bytes(3, "big") + bytes(5) + len(hello).to_bytes(3, "big")
    record = handshake + hello
    return b"\x16\xfe\xfd" + bytes(8) + len(record).to_bytes(2, "big") + record


async def test_a_publisher_that_wants_new_keys_keeps_the_old_ones() -> None:
    async with attacked() as scene:
        ssl = scene.publisher._dtls._ssl
        assert ssl is not None
        requests = 0
        for _ in range(100):
            if not ssl.renegotiate_pending():
                ssl.renegotiate()
                with suppress(SSL.Error):  # it waits for an answer
                    ssl.do_handshake()
                scene.send_as_publisher(ssl.bio_read(1500))
                requests += 1
            scene.reader.read()
            await asyncio.sleep(0.002)
        assert requests > 0
        assert scene.victim.state is PeerState.CONNECTED
        assert await scene.is_alive()
