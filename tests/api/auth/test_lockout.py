"""Who fails too often waits, from where they fail."""

from tests.api.auth.world import NOW_UNIX_MS
from worker.api.auth.lockout import Lockout

_MINUTE_MS = 60_000


def fail(lockout: Lockout, times: int, source: str = "a", at_unix_ms: int = NOW_UNIX_MS) -> None:
    for _ in range(times):
        lockout.failed("AK", source, at_unix_ms)


def test_five_failures_are_forgiven_and_the_sixth_locks() -> None:
    lockout = Lockout()
    fail(lockout, 5)
    assert not lockout.is_locked("AK", "a", NOW_UNIX_MS)

    fail(lockout, 1)
    assert lockout.is_locked("AK", "a", NOW_UNIX_MS)


def test_a_stranger_locks_out_only_himself_and_only_from_that_key() -> None:
    lockout = Lockout()
    fail(lockout, 100, source="stranger")

    assert not lockout.is_locked("AK", "tenant", NOW_UNIX_MS)
    assert not lockout.is_locked("OTHER", "stranger", NOW_UNIX_MS)


def test_a_lock_ends_after_five_minutes_and_trying_does_not_prolong_it() -> None:
    lockout = Lockout()
    fail(lockout, 6)

    almost = NOW_UNIX_MS + 5 * _MINUTE_MS - 1
    assert lockout.is_locked("AK", "a", almost)
    assert not lockout.is_locked("AK", "a", almost + 1)
    fail(lockout, 1, at_unix_ms=almost + 1)
    assert not lockout.is_locked("AK", "a", almost + 1)


def test_a_success_makes_failures_forgotten() -> None:
    lockout = Lockout()
    fail(lockout, 5)
    lockout.succeeded("AK", "a")
    fail(lockout, 5)

    assert not lockout.is_locked("AK", "a", NOW_UNIX_MS)


def test_a_clock_that_is_set_back_locks_nobody() -> None:
    lockout = Lockout()
    fail(lockout, 6)

    assert not lockout.is_locked("AK", "a", NOW_UNIX_MS - 60 * _MINUTE_MS)


def test_the_oldest_failures_are_forgotten_when_there_are_too_many() -> None:
    lockout = Lockout(capacity=3)
    fail(lockout, 6, source="first")
    for source in ("second", "third"):
        fail(lockout, 6, source=source)
    fail(lockout, 1, source="first")
    fail(lockout, 1, source="fourth")

    locked = [
        each
        for each in ("first", "second", "third", "fourth")
        if lockout.is_locked("AK", each, NOW_UNIX_MS)
    ]
    assert locked == ["first", "third"]
