"""Straight lines through noisy points: x in seconds, y in nanoseconds."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from worker.core.timing import NS_PER_MS, NS_PER_S

STEEP_POINTS = 6
STEEP_SLOPE = 30_000e-6 * NS_PER_S
STEEP_NOISE_NS = 20 * NS_PER_MS
"""A steep line is laid through the latest few points alone, and fits all of them that well."""

Point = tuple[float, float]


class Line(NamedTuple):
    """Slope in ns per s, and the value at 0 in ns."""

    slope: float
    offset: float

    def at(self, x: float) -> float:
        """The value at *x*, ns."""
        return self.offset + self.slope * x


def line_of(points: Sequence[Point], max_slope: float) -> Line:
    """The line of least squares that is no steeper, either way, than *max_slope*, ns per s."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = 0.0  # of points that lie on top of each other
    if spread > 0:
        slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    slope = min(max_slope, max(-max_slope, slope))
    return Line(slope, mean_y - slope * mean_x)


def steep_line_of(points: Sequence[Point]) -> Line | None:
    """`line_of` the latest of *points*, as many as lie on one: six to three. None if they don't."""
    for count in range(min(STEEP_POINTS, len(points)), 2, -1):
        latest = points[-count:]
        line = line_of(latest, STEEP_SLOPE)
        if max(abs(y - line.at(x)) for x, y in latest) <= STEEP_NOISE_NS:
            return line
    return None


def noise_of(points: Sequence[Point]) -> float:
    """How far *points* stray from each other, ns, however steep the line is they lie on.

    The median bend of three neighbours; 0 for fewer.
    """
    ys = [y for _, y in points]
    bends = [abs(a - 2 * b + c) for a, b, c in zip(ys, ys[1:], ys[2:], strict=False)]
    return median(bends) if bends else 0.0
