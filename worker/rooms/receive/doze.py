"""Silence that nobody would hear stays sealed: it is neither decrypted nor taken apart.

In a large room nearly all packets say in a header extension, which is not encrypted, that they
carry silence (RFC 6464). Of microphones that are not decoded anyway such packets are kept for a
moment, in case somebody begins to speak, and then dropped; now and then one is let through. To
everybody behind that looks like a microphone that leaves pauses out (RFC 7587, 6.1), but nothing
counts as lost.
"""

from collections import deque
from collections.abc import Callable, Sequence

from worker.core.audio.shortlist import FLOOR_DBOV
from worker.core.identity import TrackId
from worker.core.timing import NS_PER_MS, NS_PER_S
from worker.rooms.receive.sequence import MAX_FORWARD
from worker.rooms.rtp.packet import BadPacket, RtpPacket, audio_level_dbov, parse_rtp

KEPT_NS = 640 * NS_PER_MS
"""What a decoder may want to hear before a word: its batch begins some 300 ms before the word or
more, and 200 ms earlier a warm-up. A sign of life that is older than what is kept, but not than
that, makes a gap that looks like a loss. Together with `SIGN_NS` it is less than a second, so that
each report names a packet of the last second."""
KEPT_PACKETS = 64
SIGN_NS = 300 * NS_PER_MS
"""One packet is opened this often, a little more often than in a pause of Opus."""
RARE_NS = 200 * NS_PER_MS
"""After a gap like this a packet is opened at once: the sender leaves pauses out itself."""
AWAKE_NS = 2 * NS_PER_S
"""After a word everything is opened: the pauses between words may be told as silence."""

Sealed = tuple[bytes, int]
"""A datagram as it came, and its arrival in ns."""
Gate = Callable[[bytes, int], Sequence[Sealed]]
"""Takes a datagram of at least 12 bytes and its arrival; returns what is to be opened, in order."""


class Resting:
    """The microphones of a room that are not decoded; one object for all its connections."""

    def __init__(self) -> None:
        self.tracks: frozenset[TrackId] = frozenset()


class Doze:
    """Decides for one SSRC of a microphone which of its datagrams are opened, and when.

    Nothing is authentic yet. Whoever can forge a datagram from the sender's address can make us
    open more, take one of its own for one silent packet that was sent, and report its number to
    the sender's bandwidth estimate as having come. Words are always opened, and checked.
    """

    def __init__(
        self,
        track_id: TrackId,
        *,
        resting: Resting,
        level_extension: int,
        on_kept: Callable[[RtpPacket, int], None],
    ) -> None:
        """*on_kept* is told of each packet that is kept, its payload still encrypted."""
        self._track_id = track_id
        self._resting = resting
        self._level_extension = level_extension
        self._on_kept = on_kept
        self._kept: deque[Sealed] = deque()
        self._unopened = 0
        self._next: int | None = None
        self._came_ns = 0
        self._newest_kept = 0
        self._newest_kept_ns = 0
        self._awake_until_ns = 0
        self._sign_ns = 0

    def take(self, datagram: bytes, arrival_ns: int) -> Sequence[Sealed]:
        """What is to be opened now that *datagram* of at least 12 bytes has come, in order."""
        sequence = datagram[2] << 8 | datagram[3]
        ahead = 0 if self._next is None else sequence - self._next & 0xFFFF
        is_next = ahead == 0 and self._next is not None
        # What is late, a copy, or of a sender that counts anew does not tell what comes next.
        if ahead < MAX_FORWARD:
            self._next = sequence + 1 & 0xFFFF
        is_rare = arrival_ns - self._came_ns > RARE_NS
        self._came_ns = arrival_ns
        kept = self._kept
        # Where one is missing everything is opened, so that loss is noticed and mended as ever.
        if is_next and not is_rare and self._track_id in self._resting.tracks:
            packet = _parsed(datagram)
            if packet is not None and self._is_silent(packet, arrival_ns):
                self._on_kept(packet, arrival_ns)
                self._newest_kept, self._newest_kept_ns = sequence, arrival_ns
                kept.append((datagram, arrival_ns))
                return self._outdated(arrival_ns)
        if not kept:
            return ((datagram, arrival_ns),)
        opened = (*kept, (datagram, arrival_ns))
        kept.clear()
        return opened

    def passed(self) -> int:
        """How many packets were dropped since the last call, right before the next one opened."""
        count, self._unopened = self._unopened, 0
        return count

    def has_kept(self, packet: RtpPacket, arrival_ns: int) -> bool:
        """Whether *packet*, which is opened now, was kept before."""
        return (
            arrival_ns <= self._newest_kept_ns
            and self._newest_kept - packet.sequence & 0xFFFF < 0x8000
        )

    def _is_silent(self, packet: RtpPacket, arrival_ns: int) -> bool:
        level_dbov = audio_level_dbov(packet, self._level_extension)
        if level_dbov is None or level_dbov > FLOOR_DBOV or packet.marker:
            self._awake_until_ns = arrival_ns + AWAKE_NS
            return False
        return arrival_ns >= self._awake_until_ns

    def _outdated(self, now_ns: int) -> Sequence[Sealed]:
        """Drop what is kept no longer; one that is due as a sign of life is opened instead."""
        kept = self._kept
        while len(kept) > KEPT_PACKETS or kept[0][1] < now_ns - KEPT_NS:
            oldest = kept.popleft()
            if oldest[1] - self._sign_ns >= SIGN_NS:
                self._sign_ns = oldest[1]
                return (oldest,)
            self._unopened += 1
        return ()


class Dozes:
    """Those of one connection."""

    def __init__(self, resting: Resting, on_kept: Callable[[RtpPacket, int], None]) -> None:
        self.gates: dict[bytes, Gate] = {}
        """By SSRC, as bytes: what datagrams must pass before they are decrypted."""
        self._dozes: dict[int, Doze] = {}
        self._resting = resting
        self._on_kept = on_kept

    def begin(self, track_id: TrackId, ssrc: int, level_extension: int) -> Doze:
        """From now on for *ssrc*, which has just sent its first packet."""
        doze = Doze(
            track_id,
            resting=self._resting,
            level_extension=level_extension,
            on_kept=self._on_kept,
        )
        self.gates[_key(ssrc)] = doze.take
        self._dozes[ssrc] = doze
        return doze

    def end(self, ssrc: int) -> None:
        """What *ssrc* may send still is opened."""
        self.gates.pop(_key(ssrc), None)
        self._dozes.pop(ssrc, None)

    def has_kept(self, packet: RtpPacket, arrival_ns: int) -> bool:
        """Whether *packet*, which is opened now, was kept before."""
        doze = self._dozes.get(packet.ssrc)
        return doze is not None and doze.has_kept(packet, arrival_ns)


def _key(ssrc: int) -> bytes:
    return ssrc.to_bytes(4, "big")


def _parsed(datagram: bytes) -> RtpPacket | None:
    """Its header; the payload is not to be used."""
    try:
        return parse_rtp(datagram)
    except BadPacket:
        return None
