"""How many samples a block must take in more or less to follow the sender's clock."""

DEAD_ZONE = 48
"""Samples (1 ms): below this the clock map's own noise would be chased."""
GAIN = 24
"""One sample a block for each half millisecond beyond the dead zone."""
MAX_CORRECTION = 8
"""Samples a block: 8 of 960 are 14 cents for as long as it lasts, and 8.3 ms a second."""


def correction(error: float) -> int:
    """Samples to take in beyond 960 in the next block, -8..8.

    *error* is the wanted minus the actual position at the sender, samples: positive when we play
    too late a part. At 200 ppm this settles at one sample every fifth block.
    """
    beyond = abs(error) - DEAD_ZONE
    if beyond < 0:
        return 0
    step = min(MAX_CORRECTION, 1 + int(beyond / GAIN))
    return step if error > 0 else -step
