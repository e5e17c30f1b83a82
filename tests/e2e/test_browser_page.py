"""Real browsers in the served room: what a person sees, hears and can do on the page."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import Person, chromium, visit
from worker.api.wire.job_document import parse_job_document
from worker.core.spec import CustomLayout, GalleryLayout, ScreenShareLayout, Side, TestRoomSpec
from worker.testroom.server import serve_room

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "a-token-of-some-length"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def test_two_people_meet_share_a_screen_mute_and_part(browser: Browser) -> None:
    async with (
        serve_room() as address,
        visit(browser, address.page_url, "Ada", "demo") as ada,
        visit(browser, address.page_url, "Bob", "demo") as bob,
    ):
        await ada.sees("Bob")
        await bob.sees("Ada")
        await bob.hears("Ada")

        await ada.page.click("#screen")
        await bob.sees("Ada", "screen")
        await bob.sees("Ada")
        await ada.page.click("#screen")
        await bob.until("!document.querySelector('.tile.screen')")

        await ada.page.click("#microphone")
        await bob.until("document.querySelectorAll('.tile.silent').length === 1")
        await ada.page.click("#camera")
        await bob.until("document.querySelectorAll('.tile.camera.dark').length === 1")
        muted = await bob.tile("Ada")
        assert muted is not None
        assert muted["silent"]
        assert not muted["playing"]

        await ada.page.click("#microphone")
        await ada.page.click("#camera")
        await bob.sees("Ada")
        await bob.hears("Ada")

        # The second share takes the transceivers of the first.
        await ada.page.click("#screen")
        await bob.sees("Ada", "screen")

        await ada.page.click("#leave")
        await bob.until("document.querySelectorAll('.tile').length === 1")
        await ada.until("!document.querySelector('#entrance').hidden")
        assert (ada.complaints, bob.complaints) == ([], [])


async def test_people_find_each_other_again_after_the_server_was_gone(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        async with serve_room() as address:
            ada = await stack.enter_async_context(visit(browser, address.page_url, "Ada", "demo"))
            bob = await stack.enter_async_context(visit(browser, address.page_url, "Bob", "demo"))
            await ada.sees("Bob")
            await bob.sees("Ada")
        await ada.until("document.querySelector('#connection').textContent.includes('lost')")
        # Media does not pass through the server: it goes on without.
        await ada.sees("Bob")

        async with serve_room(port=address.port):
            for person, other in ((ada, "Bob"), (bob, "Ada")):
                await person.until("!document.querySelector('#connection').textContent")
                await person.until("document.querySelectorAll('.tile.camera').length === 2")
                await person.sees(other)


async def test_a_room_with_a_token_says_no_in_words_and_lets_its_bearer_in(
    browser: Browser,
) -> None:
    # Loopback with a token stands for the network here.
    async with (
        serve_room(token=TOKEN) as address,
        visit(browser, address.page_url, "Ada", "demo") as ada,
    ):
        await ada.until("document.querySelector('#join-error').textContent.includes('token')")

        await ada.page.fill("#token", TOKEN)
        await ada.page.click("#join")

        await ada.sees("Ada")
        await ada.page.click("#record")
        assert f"/ws?token={TOKEN}" in await command(ada)


async def test_who_allows_no_camera_is_told_so_and_still_takes_part(browser: Browser) -> None:
    async with (
        serve_room() as address,
        visit(browser, address.page_url, "Ada", "demo") as ada,
        visit(browser, address.page_url, "Bob", "demo", before=_NO_CAMERA) as bob,
    ):
        await bob.until("document.querySelector('#notices').textContent.includes('camera')")
        await bob.sees("Ada")
        await ada.hears("Bob")
        assert "may not use the camera" in await bob.page.inner_text("#notices")
        assert (await ada.tile("Bob") or {})["dark"]


async def test_every_command_on_the_page_is_a_valid_job(browser: Browser) -> None:
    async with (
        serve_room() as address,
        visit(browser, address.page_url, "Ada", "demo", user_id="ada") as ada,
    ):
        await ada.sees("Ada")
        await ada.page.click("#record")
        layouts = await ada.page.locator("#layout option").all()
        templates = await ada.page.locator("#template option").all()
        seen = []
        for layout in [await option.get_attribute("value") for option in layouts]:
            await ada.page.select_option("#layout", layout)
            spec = parse_job_document(document(await command(ada)))
            assert spec.room == TestRoomSpec(address.ws_url)
            assert spec.mix.room_id == "demo"
            seen.append(spec.mix.layout)
        for template in [await option.get_attribute("value") for option in templates]:
            await ada.page.select_option("#template", template)
            spec = parse_job_document(document(await command(ada)))
            assert (spec.mix.template is None) == (template == "audio_only")

        gallery, right, left, custom = seen
        assert isinstance(gallery, GalleryLayout)
        assert isinstance(right, ScreenShareLayout)
        assert isinstance(left, ScreenShareLayout)
        assert (right.side, left.side) == (Side.RIGHT, Side.LEFT)
        assert isinstance(custom, CustomLayout)
        assert [pane.user_id for pane in custom.panes] == ["ada"]
        assert len(templates) == 14


_NO_CAMERA = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  if (constraints.video) throw new DOMException('no', 'NotAllowedError');
  return ask(constraints);
};
"""


async def command(person: Person) -> str:
    return await person.page.locator("#command").inner_text()


def document(shell_command: str) -> str:
    """What the shell would hand to the worker's standard input."""
    first, *lines, last = shell_command.split("\n")
    assert first == "mixworker run - <<'JOB'"
    assert last == "JOB"
    text = "\n".join(lines)
    json.loads(text)
    return text
