from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.api.routes.test_apps import IN_SHARED
from tests.support.api import START_UNIX_MS, Api, running_api
from worker.errors import DestinationError, DestinationRefused
from worker.ports import ObjectFacts

BUCKETS = "/v2/rtc-ops/buckets"
CREATED = "2023/11/14 22:13:20 GMT+00:00"


@pytest_asyncio.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tmp_path, grants_needed=True) as running:
        running.buckets.contents = {
            "one": [ObjectFacts("a/", 0, START_UNIX_MS), ObjectFacts("b.mp4", 1025, START_UNIX_MS)],
            "two": [],
        }
        yield running


async def grant(api: Api, bucket: str, operation: int, *, token: str = "alice") -> None:
    reply = await api.call(
        "PUT",
        f"{BUCKETS}/authentication",
        {"bucket": bucket, "operation": operation, "location": "cn-north-4", "project_id": "p"},
        token=token,
    )
    assert (reply.status, reply.body) == (200, b"")


async def test_buckets_are_listed_with_what_was_granted(strict: Api) -> None:
    await grant(strict, "one", 1)
    await grant(strict, "two", 1)
    await grant(strict, "two", 0)

    reply = await strict.call("GET", BUCKETS)
    bobs = await strict.call("GET", BUCKETS, token="bob")

    def told(name: str, is_authorized: bool) -> dict[str, object]:
        return {
            "bucket": name,
            "location": "cn-north-4",
            "creation_date": CREATED,
            "is_authorized": is_authorized,
        }

    assert (reply.status, reply.body) == (
        200,
        {"count": 2, "buckets": [told("one", True), told("two", False)]},
    )
    assert [each["is_authorized"] for each in bobs.body["buckets"]] == [False, False]


async def test_without_need_of_grants_all_are_authorized(api: Api) -> None:
    api.buckets.contents = {"one": []}

    reply = await api.call("GET", BUCKETS)
    objects = await api.call("GET", f"{BUCKETS}/objects?bucket=one&type=objects&location=x")

    assert [each["is_authorized"] for each in reply.body["buckets"]] == [True]
    assert (objects.status, objects.body) == (200, {"count": 0, "objects": []})


async def test_objects_and_folders_of_a_granted_bucket_are_listed(strict: Api) -> None:
    await grant(strict, "one", 1)
    query = f"{BUCKETS}/objects?bucket=one&location=cn-north-4"

    objects = await strict.call("GET", f"{query}&type=objects")
    folders = await strict.call("GET", f"{query}&type=folders&prefix=a")

    assert (objects.status, objects.body) == (
        200,
        {"count": 1, "objects": [{"file_name": "b.mp4", "size": 2, "last_modified": CREATED}]},
    )
    assert folders.body["objects"] == [{"file_name": "a/", "size": 0, "last_modified": CREATED}]


async def test_a_bucket_that_was_not_granted_is_not_looked_into(strict: Api) -> None:
    await grant(strict, "one", 1, token="bob")

    reply = await strict.call("GET", f"{BUCKETS}/objects?bucket=one&location=x&type=objects")

    assert reply.refusal == (400, "RTC.00001021")


async def test_a_bucket_that_is_not_there_is_not_found(strict: Api) -> None:
    await grant(strict, "three", 1)

    reply = await strict.call("GET", f"{BUCKETS}/objects?bucket=three&location=x&type=objects")

    assert reply.refusal == (404, "RTC.00001003")


@pytest.mark.parametrize(
    ("trouble", "refusal"),
    [
        (DestinationError("secret"), (500, "RTC.00002003")),
        (DestinationRefused("secret"), (400, "RTC.00001021")),
    ],
)
async def test_a_store_that_fails_is_not_the_callers_fault(
    strict: Api, trouble: DestinationError, refusal: tuple[int, str]
) -> None:
    strict.buckets.trouble = trouble

    reply = await strict.call("GET", BUCKETS)

    assert reply.refusal == refusal
    assert "secret" not in str(reply.body)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("type=objects&location=x", "RTC.00001005"),
        ("bucket=one&location=x", "RTC.00001005"),
        ("bucket=one&type=objects", "RTC.00001005"),
        ("bucket=one&type=all&location=x", "RTC.00001003"),
        ("bucket=a/b&type=objects&location=x", "RTC.00001003"),
        ("bucket=&type=objects&location=x", "RTC.00001003"),
        ("bucket=one&type=objects&location=", "RTC.00001012"),
        ("bucket=one&type=objects&location=x&prefix=%00", "RTC.00001003"),
        (f"bucket=one&type=objects&location=x&prefix={'a' * 1025}", "RTC.00001003"),
    ],
)
@IN_SHARED
async def test_a_bad_listing_is_refused(shared_api: Api, query: str, code: str) -> None:
    reply = await shared_api.call("GET", f"{BUCKETS}/objects?{query}")

    assert reply.refusal == (400, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operation": 1, "location": "x"}, "RTC.00001005"),
        ({"bucket": "one", "location": "x"}, "RTC.00001005"),
        ({"bucket": "one", "operation": 1}, "RTC.00001005"),
        ({"bucket": "one", "operation": 2, "location": "x"}, "RTC.00001003"),
        ({"bucket": "one", "operation": "1", "location": "x"}, "RTC.00001003"),
        ({"bucket": "one", "operation": True, "location": "x"}, "RTC.00001003"),
        ({"bucket": "..", "operation": 1, "location": "x"}, "RTC.00001003"),
    ],
)
@IN_SHARED
async def test_a_bad_grant_is_refused(shared_api: Api, body: object, code: str) -> None:
    reply = await shared_api.call("PUT", f"{BUCKETS}/authentication", body)

    assert reply.refusal == (400, code)
