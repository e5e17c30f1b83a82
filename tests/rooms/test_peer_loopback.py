"""Two peers over real ICE, DTLS and SRTP on 127.0.0.1. Real time, so few and with deadlines."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest

from tests.rooms.rtp_material import AudioSender
from tests.support.waiting import until
from worker.core.identity import Codec, Kind
from worker.rooms.ice import IceSettings
from worker.rooms.media import AUDIO_LEVEL_URI, MID_URI, PAUSES_WANTED, MediaCodec, OfferedMedia
from worker.rooms.peer import Peer, PeerFailed, PeerState
from worker.rooms.reader import READ_INTERVAL_S, DatagramReader
from worker.rooms.rtp.rtcp import build_pli
from worker.rooms.sdp import BadSdp

ICE = IceSettings(host_addresses=("127.0.0.1",))
DEADLINE_S = 10
IS_BATCHED = False
OPUS = MediaCodec(111, Codec.OPUS, parameters="minptime=10;useinbandfec=1")
VP8 = MediaCodec(96, Codec.VP8, 97, ("nack", "nack pli"))
MICROPHONE = OfferedMedia("0", Kind.AUDIO, (OPUS,), 1000, extensions={MID_URI: 4})
CAMERA = OfferedMedia("1", Kind.VIDEO, (VP8,), 2000, 2001, extensions={MID_URI: 4})
SCREEN = OfferedMedia("2", Kind.VIDEO, (VP8,), 3000)


@pytest.fixture(params=["one by one", "batched"], autouse=True)
def receiver_reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test once with asyncio reading the receiver's sockets and once with our reader."""
    reads: str = request.param
    monkeypatch.setattr(f"{__name__}.IS_BATCHED", reads == "batched")
    return reads


@dataclass
class End:
    """A peer and what came to it."""

    reader: DatagramReader | None = None
    rtp: list[tuple[bytes, int]] = field(default_factory=list)
    rtcp: list[tuple[bytes, int]] = field(default_factory=list)
    states: list[PeerState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peer = Peer(
            ice=ICE,
            clock_ns=time.monotonic_ns,
            on_rtp=lambda packet, arrival_ns: self.rtp.append((packet, arrival_ns)),
            on_rtcp=lambda packet, arrival_ns: self.rtcp.append((packet, arrival_ns)),
            on_state=self.states.append,
            reader=self.reader,
        )

    async def read(self) -> None:
        """What a room does all the time."""
        assert self.reader is not None
        while True:
            await asyncio.sleep(READ_INTERVAL_S)
            self.reader.read()


@asynccontextmanager
async def ends() -> AsyncIterator[tuple[End, End]]:
    reader = DatagramReader.where_available(time.monotonic_ns) if IS_BATCHED else None
    assert (reader is not None) == IS_BATCHED
    sender, receiver = End(), End(reader)
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(receiver.read()) if reader is not None else None
        try:
            async with asyncio.timeout(DEADLINE_S):
                yield sender, receiver
        finally:
            await sender.peer.close()
            await receiver.peer.close()
            if reading is not None:
                reading.cancel()
            if reader is not None:
                reader.close()


async def connect(sender: End, receiver: End, *media: OfferedMedia) -> None:
    offer = await sender.peer.offer(media or (MICROPHONE, CAMERA))
    result = await receiver.peer.answer(offer)
    await sender.peer.accept(result.sdp)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sender.peer.connect())
        tasks.create_task(receiver.peer.connect())


def receiver_port(sdp: str) -> int:
    line = next(line for line in sdp.splitlines() if line.startswith("a=candidate:"))
    return int(line.split()[5])


async def test_packets_flow_both_ways_and_are_stamped_on_arrival() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        audio = AudioSender()
        packets = [audio.packet() for _ in range(100)]
        before_ns = time.monotonic_ns()
        for packet in packets:
            sender.peer.send_rtp(packet)
        receiver.peer.send_rtcp(build_pli(1, 2000))
        await until(lambda: len(receiver.rtp) == 100 and len(sender.rtcp) == 1)
        assert [packet for packet, _ in receiver.rtp] == packets
        assert sender.rtcp[0][0] == build_pli(1, 2000)
        stamps = [arrival_ns for _, arrival_ns in receiver.rtp]
        assert before_ns <= stamps[0] <= stamps[-1] <= time.monotonic_ns()
        assert receiver.states == [PeerState.CONNECTING, PeerState.CONNECTED]
        assert receiver.peer.last_media_ns == stamps[-1]


async def test_a_loop_that_is_held_up_for_a_second_loses_nothing() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        audio = AudioSender(payload=bytes(1000))
        packets = [audio.packet() for _ in range(2000)]  # 16 Mbit/s
        came_ns = []
        for packet in packets:
            sender.peer.send_rtp(packet)
            came_ns.append(time.monotonic_ns())
        assert receiver.rtp == [], "nobody has read so far"
        await until(lambda: len(receiver.rtp) == len(packets))
        assert [packet for packet, _ in receiver.rtp] == packets
        if IS_BATCHED:
            late_ns = [
                abs(arrival_ns - sent_ns)
                for (_, arrival_ns), sent_ns in zip(receiver.rtp, came_ns, strict=True)
            ]
            assert sorted(late_ns)[len(late_ns) // 2] < 1_000_000, "stamped when it came"


async def test_offer_and_answer_settle_what_is_received() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE, CAMERA))
        result = await receiver.peer.answer(offer, codecs=(Codec.OPUS,))
        audio, video = result.media
        assert audio.is_active
        asked = replace(OPUS, parameters=f"{OPUS.parameters};{PAUSES_WANTED}")
        assert (audio.codecs, audio.ssrcs) == ((asked,), (1000,))
        assert audio.extensions == {MID_URI: 4}
        assert not video.is_active
        assert video.codecs == ()
        assert "m=video 0 " in result.sdp
        assert "a=group:BUNDLE 0\r\n" in result.sdp
        accepted_audio, accepted_video = await sender.peer.accept(result.sdp)
        assert accepted_audio.is_active
        assert accepted_video.codecs == ()


async def test_the_section_that_carries_the_transport_is_never_rejected() -> None:
    async with ends() as (sender, receiver):
        offer = (await sender.peer.offer((CAMERA, SCREEN, MICROPHONE))).replace("VP8", "AV1")
        result = await receiver.peer.answer(offer)
        assert "a=group:BUNDLE 1 0\r\n" in result.sdp
        assert "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" in result.sdp
        assert "a=rtpmap:96 AV1/90000\r\n" in result.sdp
        assert result.sdp.count("m=video 0 ") == 1
        assert [media.is_active for media in result.media] == [False, False, True]
        assert result.media[0].codecs == ()


async def test_renegotiation_adds_and_removes_tracks_while_media_flows() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver, MICROPHONE, CAMERA)
        result = await receiver.peer.answer(await sender.peer.offer((MICROPHONE, SCREEN)))
        assert [(media.mid, media.is_active) for media in result.media] == [
            ("0", True),
            ("1", False),
            ("2", True),
        ]
        negotiated = await sender.peer.accept(result.sdp)
        assert [media.mid for media in negotiated] == ["0", "2"]
        sender.peer.send_rtp(AudioSender().packet())
        await until(lambda: len(receiver.rtp) == 1)
        result = await receiver.peer.answer(await sender.peer.offer(()))
        assert not any(media.is_active for media in result.media)
        assert receiver.peer.state is PeerState.CONNECTED


async def test_hostile_datagrams_from_elsewhere_change_nothing() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE, CAMERA))
        result = await receiver.peer.answer(offer)
        target = ("127.0.0.1", receiver_port(result.sdp))
        datagrams = [
            b"",
            b"\x80",
            b"\x80" + bytes(1500),
            b"\x80" + bytes(1498),
            b"\x80\xc8" + bytes(40),
            b"\x16\xfe\xfd" + bytes(60),
            b"\x15\xfe\xfd\0\0\0\0\0\0\0\0\0\x02\x02\x28",
            bytes.fromhex("0001000021 12a442") + bytes(12),
            bytes.fromhex("000100ff2112a442") + bytes(12),
            bytes.fromhex("01010008 2112a442") + bytes(12) + bytes.fromhex("0020000400010000"),
            bytes.fromhex("0001000c2112a442")
            + bytes(12)
            + b"\0\x06\0\x08\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x40\0\0\0",
            b"\xff" * 100,
            bytes(9000),
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

            def attack() -> None:
                for datagram in datagrams * 5:
                    stranger.sendto(datagram, target)

            attack()  # before there is a connection,
            await sender.peer.accept(result.sdp)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sender.peer.connect())
                tasks.create_task(receiver.peer.connect())
                attack()  # while it is made
            audio = AudioSender()
            for _ in range(20):
                attack()  # and while media flows
                sender.peer.send_rtp(audio.packet())
                await asyncio.sleep(0)
            await until(lambda: len(receiver.rtp) == 20)
        counters = receiver.peer.counters
        assert receiver.peer.state is PeerState.CONNECTED
        assert counters.faults == 0
        assert counters.malformed >= 22 * 5 * 4
        assert counters.stray > 0


async def test_hostile_packets_of_the_other_end_itself_are_counted_one_by_one() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)

        def explode(packet: bytes, arrival_ns: int) -> None:
            raise RuntimeError(packet)

        receiver.peer.on_rtp = explode
        audio = AudioSender()
        for _ in range(5):
            sender.peer.send_rtp(audio.packet())
        await until(lambda: receiver.peer.counters.faults == 5)
        receiver.peer.on_rtp = lambda packet, arrival_ns: receiver.rtp.append((packet, arrival_ns))
        sender.peer.send_rtp(audio.packet())
        await until(lambda: len(receiver.rtp) == 1)


async def test_forged_and_replayed_packets_are_told_apart() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        packet = AudioSender().packet()
        protected: list[bytes] = []
        pair = sender.peer._internals.selected_pair()
        assert pair is not None
        transport = pair.protocol.transport
        send = transport.sendto
        transport.sendto = lambda data, addr=None: protected.append(data)
        sender.peer.send_rtp(packet)
        transport.sendto = send
        (data,) = protected
        for datagram in (data[:-1] + bytes((data[-1] ^ 1,)), data, data):
            transport.sendto(datagram, pair.remote_addr)
        await until(lambda: receiver.peer.counters.replayed == 1)
        assert receiver.peer.counters.unauthentic == 1
        assert len(receiver.rtp) == 1


async def test_media_that_overtakes_the_handshake_is_delivered_afterwards() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE,))
        result = await receiver.peer.answer(offer)
        await sender.peer.accept(result.sdp)
        audio = AudioSender()
        first = audio.packet()
        path = receiver.peer._path
        opened = path.open

        def send_first_then_open(srtp: object) -> None:
            assert sender.peer.state is PeerState.CONNECTED
            path._early.append((early[0], 5))
            opened(srtp)  # type: ignore[arg-type]

        early: list[bytes] = []
        path.open = send_first_then_open  # type: ignore[method-assign]

        async def connect_sender() -> None:
            await sender.peer.connect()
            outbound = sender.peer._outbound
            assert outbound is not None
            early.append(outbound.rtp(first) or b"")

        async with asyncio.TaskGroup() as tasks:
            connected = tasks.create_task(connect_sender())
            receiving = tasks.create_task(receiver.peer.connect())
        assert connected.done() and receiving.done()
        assert receiver.rtp == [(first, 5)]


async def test_a_goodbye_of_the_other_end_closes_the_peer() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        await sender.peer.close()
        await until(lambda: receiver.peer.state is PeerState.CLOSED)
        receiver.peer.send_rtcp(build_pli(1, 2))
        await receiver.peer.close()
        await receiver.peer.close()


async def test_a_transport_that_dies_ends_the_peer_and_frees_its_sockets() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        await receiver.peer._internals._connection.close()  # as when consent expires
        await until(lambda: receiver.peer.state in (PeerState.FAILED, PeerState.CLOSED))
        receiver.peer.send_rtcp(build_pli(1, 2))
        assert receiver.peer.counters.unsendable == 1


@pytest.mark.parametrize("steps", range(6))
async def test_who_is_cancelled_while_closing_a_peer_is_cancelled(steps: int) -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver, MICROPHONE)
        closing = asyncio.create_task(receiver.peer.close())
        for _ in range(steps):
            await asyncio.sleep(0)
        is_too_late = not closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        assert closing.cancelled() or is_too_late
        transports = [entry.transport for entry in receiver.peer._internals._connection._protocols]
        assert steps == 0 or all(transport.is_closing() for transport in transports)


async def test_a_packet_too_large_to_send_is_counted() -> None:
    async with ends() as (sender, receiver):
        await connect(sender, receiver)
        sender.peer.send_rtp(AudioSender(payload=bytes(3000)).packet())
        assert sender.peer.counters.unsendable == 1


async def test_without_the_other_end_connecting_fails_in_time() -> None:
    async with ends() as (sender, receiver):
        result = await receiver.peer.answer(await sender.peer.offer((MICROPHONE,)))
        assert result.media
        with pytest.raises(PeerFailed, match="within"):
            await receiver.peer.connect(timeout_s=0.2)
        assert receiver.peer.state is PeerState.FAILED


async def test_a_wrong_fingerprint_is_not_connected_to() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE,))
        line = next(line for line in offer.splitlines() if line.startswith("a=fingerprint"))
        forged = offer.replace(line, line[:-2] + ("00" if line[-2:] != "00" else "11"))
        result = await receiver.peer.answer(forged)
        await sender.peer.accept(result.sdp)
        outcomes = await asyncio.gather(
            receiver.peer.connect(), sender.peer.connect(), return_exceptions=True
        )
        assert isinstance(outcomes[0], PeerFailed)
        assert receiver.peer.state is PeerState.FAILED


@pytest.mark.parametrize("found", ["a=ice-ufrag:", "a=fingerprint:sha-256 "])
async def test_another_transport_on_the_same_peer_is_refused(found: str) -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE,))
        await receiver.peer.answer(offer)
        value = offer.split(found)[1].split("\r\n")[0]
        other = value[::-1] if found.startswith("a=ice") else "00" + value[2:]
        with pytest.raises(PeerFailed):
            await receiver.peer.answer(offer.replace(value, other))


async def test_answers_that_do_not_fit_the_offer_are_refused() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE, CAMERA))
        answer = (await receiver.peer.answer(offer)).sdp
        for bad in (
            answer.replace("a=mid:1", "a=mid:7"),
            answer[: answer.index("m=video")],
            answer.replace("a=setup:active", "a=setup:actpass"),
            "",
        ):
            with pytest.raises(BadSdp):
                await sender.peer.accept(bad)


async def test_an_offer_of_nothing_we_can_receive_is_refused_and_needs_no_sockets() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((CAMERA,))
        with pytest.raises(BadSdp):
            await receiver.peer.answer(offer.replace("VP8/90000", "AV1/90000"))
        assert receiver.peer._candidates is None


async def test_a_browser_behind_mdns_names_is_found_by_its_own_checks() -> None:
    async with ends() as (sender, receiver):
        offer = await sender.peer.offer((MICROPHONE,))
        hidden = offer.replace("127.0.0.1 ", "0f6d2c8e-1111-2222-3333-444455556666.local ")
        hidden = hidden.replace(
            "IN IP4 0f6d2c8e-1111-2222-3333-444455556666.local", "IN IP4 0.0.0.0"
        )
        result = await receiver.peer.answer(hidden)
        await sender.peer.accept(result.sdp)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(receiver.peer.connect())
            tasks.create_task(sender.peer.connect())
        sender.peer.send_rtp(AudioSender().packet())
        await until(lambda: len(receiver.rtp) == 1)


async def test_audio_level_is_agreed_when_it_is_offered() -> None:
    async with ends() as (sender, receiver):
        media = OfferedMedia(
            "0",
            Kind.AUDIO,
            (OPUS,),
            1000,
            extensions={AUDIO_LEVEL_URI: 1, "urn:example:unknown": 9},
        )
        result = await receiver.peer.answer(await sender.peer.offer((media,)))
        assert result.media[0].extensions == {AUDIO_LEVEL_URI: 1}
        assert "urn:example:unknown" not in result.sdp
