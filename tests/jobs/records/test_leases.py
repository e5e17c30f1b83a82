"""Leases."""

import asyncio

from worker.jobs.ports import Records


async def test_a_lease_has_one_holder_until_it_expires(planes: tuple[Records, Records]) -> None:
    ours, theirs = planes

    assert await ours.take_lease("reconcile", "we", now_unix_ms=0, until_unix_ms=100)
    assert not await theirs.take_lease("reconcile", "they", now_unix_ms=99, until_unix_ms=199)
    assert await theirs.take_lease("mail", "they", now_unix_ms=0, until_unix_ms=100)
    # Renewed by its holder, it counts from then on.
    assert await ours.take_lease("reconcile", "we", now_unix_ms=99, until_unix_ms=199)
    assert not await theirs.take_lease("reconcile", "they", now_unix_ms=198, until_unix_ms=300)
    # Over.
    assert await theirs.take_lease("reconcile", "they", now_unix_ms=199, until_unix_ms=300)
    assert not await ours.take_lease("reconcile", "we", now_unix_ms=200, until_unix_ms=300)


async def test_of_many_who_want_a_lease_at_once_one_gets_it(
    planes: tuple[Records, Records],
) -> None:
    for now_unix_ms in (0, 100):
        takes = (
            planes[number % 2].take_lease(
                "lease", f"{number}", now_unix_ms=now_unix_ms, until_unix_ms=now_unix_ms + 100
            )
            for number in range(20)
        )
        assert sum(await asyncio.gather(*takes)) == 1


async def test_a_lease_is_given_back_by_letting_it_end_now(records: Records) -> None:
    await records.take_lease("lease", "we", now_unix_ms=0, until_unix_ms=100)
    await records.take_lease("lease", "we", now_unix_ms=50, until_unix_ms=50)
    assert await records.take_lease("lease", "they", now_unix_ms=50, until_unix_ms=100)
