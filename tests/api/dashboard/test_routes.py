"""Who gets what from the dashboard over HTTP, without a browser."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.dashboard.dashboard_world import (
    ACME_APP,
    BOLT,
    BOLT_APP,
    JOB,
    OTHERS_JOB,
    PANES,
    PASSWORD,
    Office,
    add_event,
    furnish,
    office,
)
from worker.api.dashboard.sessions import LIFE_MS, MAX_PER_ACCOUNT
from worker.core.lifecycle import State, StopReason
from worker.jobs.values import JobKind

API = "/dashboard/api"
WRITE = {"X-Dashboard": "1"}
LAYOUT = f"{API}/apps/{ACME_APP}/jobs/{JOB}/layout"
UNKNOWN_JOB = "f" * 32


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, made once: migrating takes longer than most tests."""
    database = tmp_path_factory.mktemp("furnished") / "records.db"
    asyncio.run(furnish(database))
    return database


@pytest.fixture
async def place(furnished: Path, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(Path(shutil.copy(furnished, tmp_path))) as place:
        yield place


@pytest.fixture
async def browser(place: Office) -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # which means: cookies of IP addresses, too
    async with aiohttp.ClientSession(place.url, cookie_jar=jar) as http:
        yield http


async def log_in(
    http: aiohttp.ClientSession, name: str = "acme", password: str = PASSWORD
) -> aiohttp.ClientResponse:
    credentials = {"name": name, "password": password}
    return await http.post(f"{API}/session", json=credentials, headers=WRITE)


async def status(http: aiohttp.ClientSession, method: str, path: str, **options: Any) -> int:
    async with http.request(method, path, **options) as response:
        await response.read()
        return response.status


# --- sessions -------------------------------------------------------------------------------


async def test_a_login_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    browser: aiohttp.ClientSession,
) -> None:
    answer = await log_in(browser)
    assert answer.status == 200
    assert await answer.json() == {"account": "acme"}
    (cookie,) = answer.cookies.values()
    assert cookie["httponly"] is True
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("Strict", "/", "28800")
    assert cookie["secure"] == "", "plain HTTP on loopback"
    assert len(cookie.value) >= 40
    assert await status(browser, "GET", f"{API}/session") == 200


async def test_beyond_loopback_the_cookie_is_for_tls_only(browser: aiohttp.ClientSession) -> None:
    credentials = {"name": "acme", "password": PASSWORD}
    headers = {**WRITE, "Host": "recorder.example"}
    answer = await browser.post(f"{API}/session", json=credentials, headers=headers)
    cookies = SimpleCookie(answer.headers["Set-Cookie"])
    assert cookies["__Host-mixworker"]["secure"] is True


@pytest.mark.parametrize(
    ("name", "password"), [("acme", "wrong"), ("nobody", PASSWORD), ("acme", ""), ("", PASSWORD)]
)
async def test_a_wrong_login_is_refused_in_the_same_words(
    browser: aiohttp.ClientSession, name: str, password: str
) -> None:
    answer = await log_in(browser, name, password)
    assert answer.status == 401
    assert await answer.json() == {"error_msg": "The username or password is wrong."}
    assert "Set-Cookie" not in answer.headers


async def test_logins_are_limited(browser: aiohttp.ClientSession) -> None:
    texts = [await (await log_in(browser, password="wrong")).text() for _ in range(7)]
    assert "too many wrong passwords" in texts[-1]
    assert (await log_in(browser)).status == 401, "locked for this address"
    answers = [await log_in(browser, name=f"guess-{n}") for n in range(60)]
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"name": 1, "password": "x"}', 400),
        (b'{"name": "acme"}', 400),
        (b'{"name": "acme", "password": "\\ud800"}', 400),
        (b'{"name": "' + b"x" * 9000 + b'", "password": "x"}', 413),
    ],
)
async def test_what_is_no_login_is_refused(
    browser: aiohttp.ClientSession, body: bytes, expected: int
) -> None:
    assert await status(browser, "POST", f"{API}/session", data=body, headers=WRITE) == expected


async def test_logging_out_ends_the_session_at_the_server(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    (cookie,) = (await log_in(browser)).cookies.values()
    assert await status(browser, "DELETE", f"{API}/session", headers=WRITE) == 204
    assert not list(browser.cookie_jar)
    stolen = {"Cookie": f"{cookie.key}={cookie.value}"}
    assert await status(browser, "GET", f"{API}/jobs", headers=stolen) == 401


async def test_a_session_ends_after_eight_hours(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    await log_in(browser)
    place.now[0] += LIFE_MS - 1
    assert await status(browser, "GET", f"{API}/jobs") == 200
    place.now[0] += 1
    assert await status(browser, "GET", f"{API}/jobs") == 401


async def test_a_new_password_and_a_removed_account_end_sessions(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    await log_in(browser, "bolt")
    assert await status(browser, "GET", f"{API}/jobs") == 200
    await place.records.set_password(BOLT, "another hash")
    assert await status(browser, "GET", f"{API}/jobs") == 401


async def test_sessions_of_one_account_are_bounded_and_cost_others_nothing(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    cookies = []
    async with aiohttp.ClientSession(place.url, cookie_jar=aiohttp.DummyCookieJar()) as http:
        await log_in(browser, "bolt")
        for _ in range(MAX_PER_ACCOUNT + 1):
            (cookie,) = (await log_in(http)).cookies.values()
            cookies.append({"Cookie": f"{cookie.key}={cookie.value}"})
        assert await status(http, "GET", f"{API}/jobs", headers=cookies[0]) == 401
        assert await status(http, "GET", f"{API}/jobs", headers=cookies[1]) == 200
        assert await status(http, "GET", f"{API}/jobs", headers=cookies[-1]) == 200
    assert await status(browser, "GET", f"{API}/jobs") == 200


# --- what is closed -------------------------------------------------------------------------

READS = [f"{API}/session", f"{API}/jobs", f"{API}/jobs/{JOB}", f"{API}/jobs/{JOB}/still"]
WRITES = [("POST", f"{API}/jobs/{JOB}/stop"), ("PUT", LAYOUT)]


@pytest.mark.parametrize("path", READS)
async def test_nobody_reads_without_a_session(browser: aiohttp.ClientSession, path: str) -> None:
    assert await status(browser, "GET", path) == 401
    for secret in ("x", "", "x" * 43, "\u00fc"):
        headers = {"Cookie": f"mixworker={secret}"}
        assert await status(browser, "GET", path, headers=headers) == 401


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_nobody_writes_without_a_session(
    place: Office, browser: aiohttp.ClientSession, method: str, path: str
) -> None:
    body = json.dumps({"mix_param": {"layout_panes": PANES}})
    assert await status(browser, method, path, data=body, headers=WRITE) == 401
    assert await unchanged(place)


@pytest.mark.parametrize(("method", "path"), [*WRITES, ("DELETE", f"{API}/session")])
async def test_a_form_of_another_page_writes_nothing(
    place: Office, browser: aiohttp.ClientSession, method: str, path: str
) -> None:
    await log_in(browser)
    body = json.dumps({"mix_param": {"layout_panes": PANES[:1]}})
    assert await status(browser, method, path, data=body) == 403
    assert await unchanged(place)
    assert await status(browser, "GET", f"{API}/session") == 200


async def test_a_login_without_our_header_is_refused(browser: aiohttp.ClientSession) -> None:
    credentials = {"name": "acme", "password": PASSWORD}
    assert await status(browser, "POST", f"{API}/session", json=credentials) == 403


async def unchanged(place: Office) -> bool:
    job = await place.records.any_job(JOB)
    return job is not None and (job.state, job.revision) == (State.RUNNING, 0)


@pytest.mark.parametrize("job_id", [OTHERS_JOB, UNKNOWN_JOB])
async def test_another_accounts_job_is_as_absent_as_one_that_never_was(
    place: Office, browser: aiohttp.ClientSession, job_id: str
) -> None:
    await log_in(browser)
    listed = await (await browser.get(f"{API}/jobs")).json()
    assert [job["job_id"] for job in listed["jobs"]] == [JOB]
    body = json.dumps({"mix_param": {"layout_panes": PANES[:1]}})
    for method, path in (
        ("GET", f"{API}/jobs/{job_id}"),
        ("GET", f"{API}/jobs/{job_id}/still"),
        ("POST", f"{API}/jobs/{job_id}/stop"),
        ("PUT", f"{API}/apps/{ACME_APP}/jobs/{job_id}/layout"),
        ("PUT", f"{API}/apps/{BOLT_APP}/jobs/{job_id}/layout"),
    ):
        async with browser.request(method, path, data=body, headers=WRITE) as response:
            assert response.status == 404
            assert (await response.json())["error_code"] == "RTC.00001003"
    others = await place.records.any_job(OTHERS_JOB)
    assert others is not None
    assert others.revision == 0


# --- what is told ---------------------------------------------------------------------------


async def test_a_job_is_told_with_its_events_and_without_secrets(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    await add_event(place.records, 1, '{"event_type": "RECORD_NEW_FILE_START", "app_id": "a"}')
    await add_event(
        place.records,
        2,
        '{"event_type": "RECORD_FILE_COMPLETE", "download_url": "https://x/?sig=planted-secret",'
        '"obs_object": "a/b.mp4", "file_size": 10, "record_duration": 3}',
    )
    (first,) = await place.records.due_messages(2**62, 10)
    await place.records.finish_message(first.number, was_sent=True)
    await log_in(browser)

    text = await (await browser.get(f"{API}/jobs/{JOB}")).text()
    job = json.loads(text)
    assert (job["room_id"], job["state"], job["is_over"]) == ("town-hall", "running", False)
    assert job["report"]["participants"][0] == {"user_id": "ada", "name": "Ada Lovelace"}
    assert job["mix_param"]["layout_panes"][0]["user_id"] == "ada"
    assert [(event["event_type"], event["was_sent"]) for event in job["events"]] == [
        ("RECORD_FILE_COMPLETE", None),
        ("RECORD_NEW_FILE_START", True),
    ]
    assert "planted-secret" not in text


async def test_stills_are_pictures_while_there_are_any(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    await log_in(browser)
    first = await browser.get(f"{API}/jobs/{JOB}/still")
    assert first.content_type == "image/jpeg"
    assert first.headers["Cache-Control"] == "no-store"
    second = await browser.get(f"{API}/jobs/{JOB}/still")
    assert await first.read() != await second.read()
    place.workers.reports.clear()
    assert await status(browser, "GET", f"{API}/jobs/{JOB}/still") == 204


async def test_stop_stops_as_often_as_asked(place: Office, browser: aiohttp.ClientSession) -> None:
    await log_in(browser)
    for _ in range(2):
        assert await status(browser, "POST", f"{API}/jobs/{JOB}/stop", headers=WRITE) == 204
    job = await place.records.any_job(JOB)
    assert job is not None
    assert (job.state, job.reason) == (State.STOPPED, StopReason.TENANT_STOP)


async def test_a_layout_goes_the_way_of_the_apis_update(
    place: Office, browser: aiohttp.ClientSession
) -> None:
    await log_in(browser)
    panes = [{**PANES[0], "width": 1.0}]
    body = {"mix_param": {"layout_panes": panes}}
    async with browser.put(LAYOUT, json=body, headers=WRITE) as response:
        assert response.status == 200
        told = (await response.json())["mix_param"]["layout_panes"]
    assert [(pane["user_id"], pane["width"]) for pane in told] == [("ada", 1.0)]
    job = await place.records.job("a" * 32, ACME_APP, JobKind.MIX, JOB)
    assert job.document["mix_param"]["layout_panes"] == told

    for mistake in ({"width": 1.5}, {"x": 0.9}, {"user_id": ""}, {"zorder": 25}):
        body = {"mix_param": {"layout_panes": [{**panes[0], **mistake}]}}
        async with browser.put(LAYOUT, json=body, headers=WRITE) as response:
            assert response.status == 400
            assert "layout_panes[0]" in (await response.json())["error_msg"]


# --- the page -------------------------------------------------------------------------------


async def test_the_page_brings_everything_along_and_lets_nothing_else_in(
    browser: aiohttp.ClientSession,
) -> None:
    async with browser.get("/") as response:
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        text = await response.text()
    assert "//" not in text.replace("http://www.w3.org", "")
    for name, kind in (
        ("main.js", "text/javascript"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ):
        async with browser.get(f"/dashboard/{name}") as response:
            assert (response.status, response.content_type) == (200, kind)
    for name in ("..%2froutes.py", "routes.py", "nothing.js"):
        assert await status(browser, "GET", f"/dashboard/{name}") == 404
