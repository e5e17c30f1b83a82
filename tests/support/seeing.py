"""Reading tiles of finished pictures: whose, which frame, flash, plain colour. Pure numpy."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.core.layout.geometry import Fit, Rect, Size
from worker.core.planes import VideoPlanes
from worker.testroom.marks import Reading, View, read
from worker.testroom.person import Sighting, recognise


@dataclass(frozen=True, slots=True)
class Watch:
    """One tile to be read in every frame: where it lies, and the size its source was sent in."""

    rect: Rect
    source: Size = Size(640, 360)
    fit: Fit = Fit.COVER


@dataclass(slots=True)
class TileHistory:
    """What one watched tile showed, frame by frame."""

    counters: list[int | None] = field(default_factory=list)
    flashes: list[bool] = field(default_factory=list)
    people: list[Sighting | None] = field(default_factory=list)

    def add(self, reading: Reading) -> None:
        self.counters.append(reading.counter)
        self.flashes.append(reading.flash)
        self.people.append(recognise(reading.corners))

    def owner(self, from_frame: int = 0) -> Sighting:
        """Who is in the tile in most frames from that one on."""
        seen = [person for person in self.people[from_frame:] if person is not None]
        return max(set(seen), key=seen.count)


def crop(planes: VideoPlanes, rect: Rect) -> VideoPlanes:
    """The part of a picture in *rect*, as views."""
    rows, columns = slice(rect.y, rect.bottom), slice(rect.x, rect.right)
    half = (slice(rect.y // 2, rect.bottom // 2), slice(rect.x // 2, rect.right // 2))
    return VideoPlanes(planes.y[rows, columns], planes.u[half], planes.v[half])


def read_tile(planes: VideoPlanes, watch: Watch) -> Reading:
    """The marks in the tile *watch* of a whole picture."""
    view = View.of(watch.source, watch.rect.size, watch.fit)
    return read(crop(planes, watch.rect), view)


def mean_colour(planes: VideoPlanes, rect: Rect, inset: float = 0.0) -> tuple[float, float, float]:
    """Mean (y, u, v) in *rect*, less a share *inset* of its sides at every edge."""
    x, y = round(rect.width * inset), round(rect.height * inset)
    inner = Rect(
        (rect.x + x) // 2 * 2,
        (rect.y + y) // 2 * 2,
        max(2, (rect.width - 2 * x) // 2 * 2),
        max(2, (rect.height - 2 * y) // 2 * 2),
    )
    part = crop(planes, inner)
    return float(part.y.mean()), float(part.u.mean()), float(part.v.mean())


def flash_times(flashes: Sequence[bool], fps: float) -> NDArray[np.float64]:
    """Start, s, of every output frame in which a flash appears after a frame without."""
    return flash_frames(flashes) / fps


def flash_frames(flashes: Sequence[bool]) -> NDArray[np.intp]:
    """Number of every output frame in which a flash appears after a frame without."""
    lit = np.asarray(flashes, dtype=bool)
    return np.flatnonzero(lit[1:] & ~lit[:-1]) + 1


def counter_steps(counters: Sequence[int | None], loop_frames: int) -> NDArray[np.int64]:
    """Differences of successive counters, modulo the loop; unreadable frames are left out."""
    known = np.asarray([counter for counter in counters if counter is not None], dtype=np.int64)
    return np.diff(known) % loop_frames


def longest_freeze_s(counters: Sequence[int | None], fps: float) -> float:
    """The longest time one and the same counter stays, s; unreadable frames end a freeze."""
    longest = run = 0
    previous: int | None = None
    for counter in counters:
        run = run + 1 if counter is not None and counter == previous else 1
        previous = counter
        longest = max(longest, run)
    return longest / fps


def av_offsets(
    flashes_s: NDArray[np.float64], beeps_s: NDArray[np.float64], *, within_s: float = 0.4
) -> NDArray[np.float64]:
    """Flash minus beep, s, for every beep that has a flash within *within_s*.

    Positive: the picture is late. A flash can only be shown at a frame's start, so that it comes
    half a frame late on average in a perfectly synchronous recording.
    """
    if len(flashes_s) == 0:
        return np.asarray([])
    nearest = [flashes_s[np.argmin(np.abs(flashes_s - beep))] for beep in beeps_s]
    offsets = np.asarray(nearest) - beeps_s
    return offsets[np.abs(offsets) <= within_s]
