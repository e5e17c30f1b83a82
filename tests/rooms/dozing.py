"""Resting microphones: one at its gate, and one through the whole receive side."""

from types import SimpleNamespace
from typing import Any

from tests.rooms.rtp_material import AUDIO, LEVEL_ID, AudioSender
from tests.rooms.test_datagram_path import THEM, FakeIce, FakeSrtp
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.ports import EncodedFrame, TrackStatistics
from worker.rooms.datagrams import DatagramPath
from worker.rooms.media import NegotiatedMedia
from worker.rooms.receive.doze import KEPT_NS, Doze, Resting, Sealed
from worker.rooms.receive.receiver import PeerReceiver
from worker.rooms.rtp.packet import RtpPacket
from worker.rooms.rtp.rtcp import NackPacket, ReceiverReportPacket, ReportBlock, parse_rtcp

MICROPHONE = TrackId("microphone")
SILENT, LOUD = 127, 20
NUMBER_ID = 3
PACKET_NS = 20 * NS_PER_MS
POLL_NS = 5 * NS_PER_MS
KEPT = KEPT_NS // PACKET_NS + 1
"""So many packets of a microphone that sleeps are kept."""


def level(minus_dbov: int) -> dict[int, bytes]:
    return {LEVEL_ID: bytes((minus_dbov,))}


class Bench:
    """A microphone at rest. What comes out is counted as the receiver does it."""

    def __init__(self, sequence: int = 50) -> None:
        self.resting = Resting()
        self.resting.tracks = frozenset({MICROPHONE, TrackId("another")})
        self.kept: list[tuple[int, int]] = []
        self.doze = Doze(
            MICROPHONE, resting=self.resting, level_extension=LEVEL_ID, on_kept=self._note
        )
        self.sender = AudioSender(sequence=sequence)
        self.now_ns = NS_PER_S
        self.sent: list[Sealed] = []
        self.opened: list[Sealed] = []
        self.passed: list[int] = []
        """For each one opened: how many were dropped before it."""

    def _note(self, packet: RtpPacket, arrival_ns: int) -> None:
        self.kept.append((packet.sequence, arrival_ns))

    def packet(self, minus_dbov: int) -> bytes:
        self.sender.extensions = level(minus_dbov)
        return self.sender.packet()

    def take(self, datagram: bytes) -> list[Sealed]:
        """What comes out when *datagram* comes, 20 ms after the one before."""
        self.now_ns += PACKET_NS
        self.sent.append((datagram, self.now_ns))
        opened = list(self.doze.take(datagram, self.now_ns))
        self.passed += [self.doze.passed() for _ in opened]
        self.opened += opened
        return opened

    def hear(self, minus_dbov: int, count: int = 1) -> list[list[Sealed]]:
        return [self.take(self.packet(minus_dbov)) for _ in range(count)]

    def asleep(self) -> "Bench":
        """After two seconds of silence, when as much is kept as ever will be."""
        self.hear(SILENT, 100)
        return self

    def waiting(self) -> list[Sealed]:
        """What is kept: all that came after the newest one opened and was not dropped."""
        self.resting.tracks = frozenset()
        (opened,) = self.hear(SILENT)
        return opened[:-1]


def check(bench: Bench) -> None:
    """In order, with its own arrival, at most once; what was dropped before each is told."""
    place_of = {sealed: place for place, sealed in enumerate(bench.sent)}
    places = [place_of[sealed] for sealed in bench.opened]
    befores = [-1, *places[:-1]]
    skipped = [place - before - 1 for before, place in zip(befores, places, strict=True)]
    assert bench.passed == skipped


class CountingSrtp(FakeSrtp):
    """Authentic packets end in "!"; counts what it is asked to open."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def rtp(self, packet: bytes) -> bytes | None:
        self.calls += 1
        return super().rtp(packet)


class Room:
    """A path, a receiver and a clock; 50 packets a second, RTCP is polled every 5 ms."""

    def __init__(self, media: NegotiatedMedia = AUDIO, *, rests: bool = True) -> None:
        self.now_ns = NS_PER_S
        self.resting = Resting()
        if rests:
            self.resting.tracks = frozenset({MICROPHONE})
        self.srtp: Any = CountingSrtp()
        self.frames: list[EncodedFrame] = []
        self.rtcp: list[bytes] = []
        self.nacks: list[tuple[int, tuple[int, ...]]] = []
        self.blocks: list[ReportBlock] = []
        self.all_statistics: dict[TrackId, TrackStatistics] = {}
        self.receiver = PeerReceiver(
            ssrc=1,
            on_frame=self.frames.append,
            on_sender_report=lambda report: None,
            statistics=self.all_statistics,
            resting=self.resting,
        )
        self.receiver.set_tracks({MICROPHONE: media}, self.now_ns)
        ice: Any = FakeIce()
        self.path = DatagramPath(
            ice,
            clock_ns=lambda: self.now_ns,
            on_rtp=self.receiver.on_rtp,
            on_rtcp=self.receiver.on_rtcp,
        )
        self.path.gates = self.receiver.gates
        self.path.open(self.srtp)
        self.sender = AudioSender()
        self._protocol: Any = SimpleNamespace(transactions={})

    @property
    def statistics(self) -> TrackStatistics:
        return self.all_statistics[MICROPHONE]

    @property
    def heard(self) -> list[tuple[int, int]]:
        """Timestamp and arrival of every frame."""
        return [(frame.rtp_timestamp, frame.arrival_ns) for frame in self.frames]

    def packet(self, minus_dbov: int, number: int | None = None) -> bytes:
        """The next one the microphone sends, with a transport-wide *number* if wanted."""
        self.sender.extensions = level(minus_dbov)
        if number is not None:
            self.sender.extensions |= {NUMBER_ID: number.to_bytes(2, "big")}
        return self.sender.packet()

    def come(self, packet: bytes, ending: bytes = b"!") -> None:
        """*packet* arrives now, authentic unless told otherwise."""
        self.path.receive(self._protocol, packet + ending, THEM)

    def wait(self, duration_ns: int = PACKET_NS) -> None:
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns:
            self.now_ns = min(end_ns, self.now_ns + POLL_NS)
            for compound in self.receiver.poll(self.now_ns):
                self._read(compound)

    def hear(self, minus_dbov: int, count: int = 1) -> list[tuple[int, int]]:
        """*count* packets, one each 20 ms; timestamps and arrivals."""
        sent = []
        for _ in range(count):
            sent.append((self.sender.timestamp, self.now_ns))
            self.come(self.packet(minus_dbov))
            self.wait()
        return sent

    def _read(self, compound: bytes) -> None:
        self.rtcp.append(compound)
        for packet in parse_rtcp(compound):
            if isinstance(packet, NackPacket):
                self.nacks.append((self.now_ns, packet.sequences))
            elif isinstance(packet, ReceiverReportPacket):
                self.blocks += packet.reports
