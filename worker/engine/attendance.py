"""Who was there and what became of their media, for the result of a job of any length."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from worker.core.clockmap import ClockMap
from worker.core.identity import Participant, ParticipantId, Track, TrackId
from worker.ports import TrackStatistics

Facts = Mapping[str, object]
"""Plain JSON values."""


@dataclass(slots=True)
class Attendance:
    """One presence of one participant."""

    participant: Participant
    joined_ns: int
    left_ns: int | None = None
    tracks: dict[TrackId, Track] = field(default_factory=dict)
    live: set[TrackId] = field(default_factory=set)
    """Tracks published now."""
    clock_map: ClockMap = field(default_factory=ClockMap)
    av_offset_ms: float | None = None
    """By how much camera lags microphone as they arrive, last known; playout takes it out."""
    ended: dict[TrackId, Facts] = field(default_factory=dict)
    """What became of the frames of tracks that are gone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the result says of one presence, but for the instants, which are on the job's clock."""

    participant_id: ParticipantId
    user_id: str
    name: str
    joined_ns: int
    left_ns: int | None
    av_offset_ms: float | None
    aligned_by: str
    """Value of `clockmap.Alignment`: how sound and picture were brought together."""
    tracks: Sequence[Facts]


def entry_of(
    attendance: Attendance,
    statistics: Mapping[TrackId, TrackStatistics],
    facts: Mapping[TrackId, Facts],
) -> Entry:
    """*statistics* from the room and *facts* from the ingests, of every track that has any."""
    participant = attendance.participant
    return Entry(
        participant_id=participant.participant_id,
        user_id=participant.user_id,
        name=participant.display_name,
        joined_ns=attendance.joined_ns,
        left_ns=attendance.left_ns,
        av_offset_ms=attendance.av_offset_ms,
        aligned_by=attendance.clock_map.alignment.value,
        tracks=[
            {
                "track": track_id,
                "kind": track.kind.value,
                "source": track.source.value,
                **asdict(statistics.get(track_id, TrackStatistics())),
                **facts.get(track_id, {}),
            }
            for track_id, track in attendance.tracks.items()
        ],
    )


class Departed:
    """Everybody who has left, in the order they were settled; about half a kilobyte a track.

    One piece of memory, made after everything of the presence is gone: fifty small objects left
    over from each join would keep the memory of that busy moment from being used again.
    """

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self.totals = TrackStatistics()
        """Sums over their tracks; jitter is not summed."""

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, statistics: Iterable[TrackStatistics]) -> None:
        """Keep *entry*, to which nothing will be added; *statistics* of all its tracks."""
        values = [getattr(entry, each.name) for each in fields(Entry)]
        self._entries.append(json.dumps(values, separators=(",", ":")).encode())
        for track in statistics:
            for each in fields(TrackStatistics):
                if each.type is int:
                    total = getattr(self.totals, each.name) + getattr(track, each.name)
                    setattr(self.totals, each.name, total)

    def __iter__(self) -> Iterator[Entry]:
        for values in self._entries:
            loaded: list[Any] = json.loads(values)
            yield Entry(*loaded)
