"""How long to wait before a callback is tried again: seconds at first, hours in the end.

Three days in all, so that a receiver that fails on a Friday evening can be mended on Monday.
"""

from collections.abc import Callable

QUICK_S = (1.0, 5.0, 15.0, 30.0)
"""Before the second to the fifth attempt."""
STEPS_S = ((15 * 60.0, 60.0), (3 * 3600.0, 600.0), (76 * 3600.0, 7200.0))
"""(until so long after the first failure, wait so long)."""
JITTER = 0.2
"""Part of the wait by which it is longer or shorter, so that jobs do not call in step."""
MAX_TOLD_S, MIN_TOLD_S = 3600.0, 1.0
"""Bounds of the wait a receiver may ask for."""


def wait_s(attempts: int, age_s: float, random: Callable[[], float]) -> float | None:
    """Seconds until the next attempt; None when the event is given up.

    *attempts* failed so far, at least 1; *age_s* since the first time; *random* gives numbers
    of 0 to 1, evenly.
    """
    by_age = (step_s for until_s, step_s in STEPS_S if age_s < until_s)
    step_s = QUICK_S[attempts - 1] if attempts <= len(QUICK_S) else next(by_age, None)
    return None if step_s is None else step_s * (1 + JITTER * (2 * random() - 1))


def told_s(asked_s: float) -> float:
    """The wait a receiver asked for (`Retry-After`), within bounds."""
    return min(max(asked_s, MIN_TOLD_S), MAX_TOLD_S)
