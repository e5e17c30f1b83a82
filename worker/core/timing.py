"""Ticks, blocks and sample counts: integers and Fractions only, so nothing accumulates.

Frame k of the output lies at k/fps, sample m at m/48000, both from one origin.
"""

from fractions import Fraction

SAMPLE_RATE_HZ = 48_000
BLOCK_SAMPLES = 960
"""One audio block is 20 ms."""
BLOCK_NS = 20_000_000
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


def tick_ns(tick: int, fps: int) -> int:
    """Start of output frame *tick*, ns after the origin, rounded half to even."""
    return round(Fraction(tick * NS_PER_S, fps))


def ticks_until(duration_ns: int, fps: int) -> int:
    """How many frames cover [0, duration): the first tick at or after *duration_ns*."""
    return -(-duration_ns * fps // NS_PER_S)


def samples_for_ticks(ticks: int, fps: int) -> int:
    """Audio samples that last as long as *ticks* frames, rounded half to even."""
    return round(Fraction(ticks * SAMPLE_RATE_HZ, fps))
