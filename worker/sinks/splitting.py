"""Cuts one stream of packets into files, so that no frame and no sample is lost or doubled.

Pictures are cut on a keyframe. AAC packets do not lie on the frames' grid, and one alone is not
decoded right: the packet a cut goes through is in both files, the one before it too. A file's
sound so begins before the file's zero, which the muxer's edit list skips (as it skips the
priming of the very first packet), and the last packet of the file before says a shorter duration.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from worker.core.record.plan import CutQueue, FileCut
from worker.core.timing import SAMPLE_RATE_HZ, samples_for_ticks
from worker.errors import DestinationError
from worker.ports import EncodedPacket, Program, StreamKind

MOST_HELD = 5_000
"""Packets of one stream that wait for the other, over a minute. More is an error: they would have
to be left out."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A file begins with this sample of the output."""

    sample: int
    late_samples: int = 0
    """How long after the cut of the plan that is; only where a file before it failed."""


@dataclass(frozen=True, slots=True)
class End:
    """The open file ends before this sample."""

    sample: int


Piece = Begin | End | EncodedPacket
"""Packets have times from the zero of their file, in order of time."""


class Splitter:
    """Turns packets as they are encoded into files; give it a plan's cuts before the packets."""

    def __init__(self, program: Program, cuts: CutQueue) -> None:
        self._cuts = cuts
        self._fps = None if program.video is None else program.video.template.fps
        self._held: dict[StreamKind, deque[EncodedPacket]] = {}
        if program.video is not None:
            self._held[StreamKind.VIDEO] = deque()
        if program.audio is not None:
            self._held[StreamKind.AUDIO] = deque()
        self._heard: deque[EncodedPacket] = deque(maxlen=2)
        """The last packets of sound, whichever file they are in."""
        self._is_planned = False
        """The plan wants a file."""
        self._cut = 0
        """The sample at which it was to begin."""
        self._not_before = 0
        """No file is begun before this sample."""
        self._open: int | None = None
        """The first sample of the open file."""
        self._end = 0

    def take(self, packets: Iterable[EncodedPacket]) -> Iterator[Piece]:
        """What has become certain; the rest waits for the other stream.

        Go through all of it before the next call. Raises `DestinationError` when one stream is
        too far behind the other.
        """
        for packet in packets:
            self._held[packet.kind].append(packet)
        while all(self._held.values()):
            yield from self._first()
        if any(len(held) > MOST_HELD for held in self._held.values()):
            raise DestinationError("sound and picture are too far apart to be written together")

    def finish(self) -> Iterator[Piece]:
        """All that is left, and the end of the last file."""
        while any(self._held.values()):
            yield from self._first()
        if self._open is not None:
            self._open = None
            yield End(self._end)

    def lose(self, *, wait_samples: int) -> None:
        """The open file has failed; so long after it another may begin, on any keyframe."""
        self._open = None
        self._not_before = self._end + wait_samples

    def _first(self) -> Iterator[Piece]:
        """The earliest of what is held; of two at once the picture, with which a file begins."""
        packet = min(
            (held[0] for held in self._held.values() if held),
            key=lambda each: (self._sample(each), each.kind is StreamKind.AUDIO),
        )
        self._held[packet.kind].popleft()
        if packet.kind is StreamKind.VIDEO:
            yield from self._picture(packet)
        elif self._fps is None:
            yield from self._sound_alone(packet)
        else:
            yield from self._sound(packet, self._coming_cut())
        self._end = max(self._end, self._end_of(packet))

    def _picture(self, packet: EncodedPacket) -> Iterator[Piece]:
        now = self._sample(packet)
        while self._is_cut_at(packet):
            yield from self._follow(self._cuts.popleft(), now)
        if self._open is None and self._is_planned and packet.keyframe and now >= self._not_before:
            yield from self._begin(now)
        if self._open is not None:
            yield self._moved(packet)

    def _sound(self, packet: EncodedPacket, cut: int | None) -> Iterator[Piece]:
        """Write *packet*; the file ends at *cut*, if that is near."""
        if self._open is not None:
            yield self._moved(packet, until=cut)
        self._heard.append(packet)

    def _sound_alone(self, packet: EncodedPacket) -> Iterator[Piece]:
        """Without pictures a file is cut anywhere, in the midst of a packet most times."""
        end = self._end_of(packet)
        if self._cuts and self._cuts[0].sample < end:
            cut = self._cuts.popleft()
            is_within = packet.pts < cut.sample
            if is_within:
                yield from self._sound(packet, cut.sample)
            yield from self._follow(cut, cut.sample)
            if self._is_planned and cut.sample >= self._not_before:
                yield from self._begin(cut.sample)
            if is_within:
                return
        if self._open is None and self._is_planned and packet.pts >= self._not_before:
            yield from self._begin(packet.pts)
        yield from self._sound(packet, None)

    def _follow(self, cut: FileCut, sample: int) -> Iterator[Piece]:
        if self._open is not None:
            self._open = None
            yield End(sample)
        self._is_planned = cut.begins
        self._cut = sample

    def _begin(self, sample: int) -> Iterator[Piece]:
        self._open = sample
        yield Begin(sample, sample - self._cut)
        if self._open is None:
            return  # it could not be opened, and `lose` was called
        # The packet that reaches up to here or beyond, and the one without which it is not
        # decoded right; that is one only where a packet happens to end here.
        reaching = [each for each in self._heard if self._end_of(each) > sample]
        count = 2 if reaching else 1
        for packet in list(self._heard)[-count:]:
            yield self._moved(packet)

    def _is_cut_at(self, picture: EncodedPacket) -> bool:
        """Whether the next cut takes effect at *picture*."""
        if not self._cuts or self._cuts[0].sample > self._sample(picture):
            return False
        # Where a file ends and another begins, rather a late cut than a lost frame.
        return picture.keyframe or not self._cuts[0].begins or self._open is None

    def _coming_cut(self) -> int | None:
        """Where the open file will end, if the next picture says so."""
        pictures = self._held[StreamKind.VIDEO]
        if pictures and self._is_cut_at(pictures[0]):
            return self._sample(pictures[0])
        return None

    def _moved(self, packet: EncodedPacket, *, until: int | None = None) -> EncodedPacket:
        """*packet* on its file's clock, cut off at sample *until* of the output."""
        assert self._open is not None
        zero = self._open
        if packet.kind is StreamKind.VIDEO:
            assert self._fps is not None
            zero = round(zero * self._fps / SAMPLE_RATE_HZ)
        duration = packet.duration
        if until is not None:
            duration = min(duration, until - packet.pts)
        return replace(packet, pts=packet.pts - zero, dts=packet.dts - zero, duration=duration)

    def _sample(self, packet: EncodedPacket) -> int:
        return self._samples(packet.kind, packet.pts)

    def _end_of(self, packet: EncodedPacket) -> int:
        return self._samples(packet.kind, packet.pts + packet.duration)

    def _samples(self, kind: StreamKind, units: int) -> int:
        """*units* of a stream's own time as samples of the output."""
        if kind is StreamKind.AUDIO or self._fps is None:
            return units
        return samples_for_ticks(units, self._fps)
