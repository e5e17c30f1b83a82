"""The dashboard in a browser: what a person sees of jobs, and what they can do to them."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, expect

from tests.api.dashboard.dashboard_world import (
    EVIL,
    JOB,
    OTHERS_JOB,
    PASSWORD,
    Office,
    add_event,
    add_job,
    furnish,
    job,
    office,
)
from tests.support.browser import chromium
from worker.core.lifecycle import State, StopReason

pytestmark = pytest.mark.asyncio(loop_scope="module")

COMPLETE = (
    '{"event_type": "RECORD_FILE_COMPLETE", "obs_object": "talks/1.mp4", "file_size": 5200000,'
    ' "record_duration": 61}'
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database, made once: migrating takes a while."""
    database = tmp_path_factory.mktemp("furnished") / "records.db"
    await furnish(database)
    return database


@pytest_asyncio.fixture(loop_scope="module")
async def place(furnished: Path, tmp_path: Path) -> AsyncIterator[Office]:
    async with office(Path(shutil.copy(furnished, tmp_path))) as place:
        yield place


@asynccontextmanager
async def visiting(
    browser: Browser, place: Office, name: str | None = "acme", **context: Any
) -> AsyncIterator[Page]:
    """The dashboard, logged in as *name*; scripts of others and errors fail the test."""
    options = {"viewport": {"width": 1280, "height": 900}, **context}
    visit = await browser.new_context(**options)
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The browser itself calls every answer from 400 on an error.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    try:
        page = await visit.new_page()
        page.set_default_timeout(10_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(place.url)
        if name is not None:
            await log_in(page, name)
            await expect(page.locator("#account")).to_have_text(name)
        yield page
        assert complaints == []
        assert await page.evaluate("window.hacked") is None
    finally:
        await visit.close()


async def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    await page.get_by_label("Account").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()


async def test_only_who_logs_in_sees_jobs_and_only_their_own(
    browser: Browser, place: Office
) -> None:
    async with visiting(browser, place, None) as page:
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await log_in(page, "acme", "wrong")
        await expect(page.get_by_role("alert")).to_have_text("The username or password is wrong.")

        await log_in(page, "acme")
        await expect(page.get_by_role("link", name="town-hall")).to_be_visible()
        await expect(page.locator("tbody tr")).to_have_count(1)
        row = page.locator("tbody tr").first
        for text in ("Recording", "Ada Lovelace", "1.4 s behind", "the server refused"):
            await expect(row).to_contain_text(text)

        await page.goto(f"{place.url}/#job/{OTHERS_JOB}")
        await expect(page.get_by_role("heading", name="no such job")).to_be_visible()
        assert "secret-room" not in await page.content()

        await page.reload()
        await expect(page.locator("#account")).to_have_text("acme")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()


async def test_a_job_is_watched_live(browser: Browser, place: Office) -> None:
    await add_event(place.records, 1, COMPLETE)
    async with visiting(browser, place) as page:
        await page.get_by_role("link", name="town-hall").click()
        await expect(page.get_by_role("heading", name="town-hall")).to_be_visible()
        colours = set()
        for _ in range(2):
            shown = await page.locator(".picture img").get_attribute("src")
            colours.add(await page.evaluate(_COLOUR))
            await expect(page.locator(f'.picture img[src="{shown}"]')).to_have_count(0)
        assert len(colours) == 2, "another picture each second"
        await expect(page.locator(".tiles div")).to_have_count(1)

        for second in range(13, 16):
            place.workers.tell(recorded_s=float(second))
            await expect(page.locator("h1 ~ .recorded")).to_have_text(f"0:{second}")
        place.workers.tell(recorded_s=16.0, speaking=["bob"])
        await expect(page.locator(".tiles div")).to_have_attribute("data-key", "bob/camera/0.5/0")
        lanes = page.get_by_role("img", name="was heard for")
        await expect(lanes.nth(1)).to_have_accessible_name("Bob was heard for 1 seconds")
        await expect(lanes.nth(0)).to_have_accessible_name("Ada Lovelace was heard for 3 seconds")

        events = page.locator(".events")
        await expect(events).to_contain_text("File complete")
        await expect(events).to_contain_text("talks/1.mp4 · 1:01 · 5.2 MB")
        await expect(page.locator(".alerts")).to_contain_text("the server refused the connection")


async def test_names_of_people_stay_text(browser: Browser, place: Office) -> None:
    await add_job(place.records, job("4" * 32, room=EVIL))
    place.workers.tell("4" * 32, warnings=[EVIL], speaking=["eve"])
    await add_event(place.records, 1, json.dumps({"event_type": EVIL, "obs_object": EVIL}))
    async with visiting(browser, place) as page:
        await page.get_by_role("link", name=EVIL).click()
        await expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
        await expect(page.locator("ul.people")).to_contain_text(EVIL)
        await expect(page.locator(".alerts")).to_contain_text(EVIL)
        await page.goto(f"{place.url}/#job/{JOB}")
        await expect(page.locator(".events")).to_contain_text(EVIL)
        assert await page.locator('img[src="x"]').count() == 0


async def test_stop_asks_once_more_and_stops(browser: Browser, place: Office) -> None:
    async with visiting(browser, place) as page:
        await page.get_by_role("link", name="town-hall").click()
        await page.get_by_role("button", name="Stop", exact=True).click()
        await page.get_by_role("button", name="Go on recording").click()
        running = await place.records.any_job(JOB)
        assert running is not None
        assert running.state is State.RUNNING

        await page.get_by_role("button", name="Stop", exact=True).click()
        await page.get_by_role("button", name="Stop recording").click()
        await expect(page.locator("h1 ~ .state")).to_have_text("Finishing")
        stopped = await place.records.any_job(JOB)
        assert stopped is not None
        assert (stopped.state, stopped.reason) == (State.STOPPED, StopReason.TENANT_STOP)
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)


async def test_panes_are_dragged_sized_and_applied(browser: Browser, place: Office) -> None:
    async with visiting(browser, place) as page:
        await page.goto(f"{place.url}/#job/{JOB}")
        await page.get_by_role("button", name="Edit layout").click()
        text = page.get_by_label("Request as JSON")
        apply = page.get_by_role("button", name="Apply layout")
        await expect(apply).to_be_disabled()
        stage = await page.locator(".panes").bounding_box()
        assert stage is not None

        def at(x: float, y: float) -> dict[str, float]:
            return {"x": stage["x"] + x * stage["width"], "y": stage["y"] + y * stage["height"]}

        await page.mouse.move(**at(0.25, 0.25))
        await page.mouse.down()
        await page.mouse.move(**at(0.5, 0.6), steps=4)
        await page.mouse.move(**at(0.503, 0.747), steps=4)
        await page.mouse.up()
        body = json.loads(await text.input_value())
        ada, bob = body["mix_param"]["layout_panes"]
        assert (ada["x"], ada["y"]) == (0.25, 0.5), "snapped to a quarter"
        assert (bob["x"], bob["y"]) == (0.5, 0.0)

        await page.mouse.move(**at(0.25, 0.5))
        await page.mouse.down()
        await page.mouse.move(**at(0.12, 0.62), steps=4)
        await page.mouse.up()
        ada = json.loads(await text.input_value())["mix_param"]["layout_panes"][0]
        assert ada["x"] == pytest.approx(0.12, abs=0.01)
        assert ada["x"] + ada["width"] == pytest.approx(0.75, abs=0.001), "the corner moved"
        assert ada["y"] + ada["height"] == pytest.approx(1.0, abs=0.001)

        await page.get_by_role("group", name="Pane of bob").focus()
        for key in ("ArrowLeft", "ArrowDown", "Shift+ArrowUp", "Shift+ArrowLeft"):
            await page.keyboard.press(key)
        bob = json.loads(await text.input_value())["mix_param"]["layout_panes"][1]
        assert [bob[key] for key in ("x", "y", "width", "height")] == [0.49, 0.01, 0.49, 0.49]
        await page.get_by_label("Stacking").fill("7")
        await page.get_by_label("Fit").select_option("KEEP_RATIO_PADDING")

        async with page.expect_request("**/layout") as sent:
            await apply.click()
        body = (await sent.value).post_data_json
        assert body == json.loads(await text.input_value())
        await expect(page.locator(".editor")).to_contain_text("Applied")
        changed = await place.records.any_job(JOB)
        assert changed is not None
        panes = changed.document["mix_param"]["layout_panes"]
        assert (panes[1]["x"], panes[1]["zorder"]) == (0.49, 7)
        assert panes[1]["crop_mode"] == "KEEP_RATIO_PADDING"
        assert panes == body["mix_param"]["layout_panes"]


async def test_the_request_can_be_written_and_mistakes_are_told(
    browser: Browser, place: Office
) -> None:
    async with visiting(browser, place) as page:
        await page.goto(f"{place.url}/#job/{JOB}")
        await page.get_by_role("button", name="Edit layout").click()
        text = page.get_by_label("Request as JSON")
        apply = page.get_by_role("button", name="Apply layout")
        before = await text.input_value()

        await text.fill(before.replace('"bob"', '"eve"'))
        await expect(page.get_by_role("group", name="Pane of eve")).to_be_visible()
        await text.fill("{")
        await expect(page.locator(".editor .problem")).to_contain_text("cannot be shown")
        await expect(apply).to_be_disabled()

        await text.fill(before.replace('"zorder": 1', '"zorder": 99'))
        await apply.click()
        await expect(page.locator(".editor .problem")).to_contain_text("zorder")
        await page.get_by_role("button", name="Revert").click()
        assert await text.input_value() == before

        await page.get_by_role("button", name="Add pane").click()
        await expect(page.get_by_label("User", exact=True)).to_have_value("eve")
        await expect(page.locator(".pane")).to_have_count(3)
        await page.get_by_role("button", name="Remove pane").click()
        assert await text.input_value() == before


async def test_a_session_that_ends_leads_to_the_entrance(browser: Browser, place: Office) -> None:
    async with visiting(browser, place) as page:
        await expect(page.get_by_role("link", name="town-hall")).to_be_visible()
        place.now[0] += 9 * 3600 * 1000
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert await page.locator("tbody").count() == 0


_COLOUR = """() => {
  const canvas = new OffscreenCanvas(1, 1);
  const pen = canvas.getContext('2d');
  pen.drawImage(document.querySelector('.picture img'), 0, 0, 1, 1);
  return pen.getImageData(0, 0, 1, 1).data.join();
}"""
