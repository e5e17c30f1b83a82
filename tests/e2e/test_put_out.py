"""People who are put out of the test room: what they see, and what becomes of the recording."""

import asyncio
from pathlib import Path

import pytest

from tests.support.browser import chromium, visit
from tests.support.live import ROOM, document, live_room, worker
from tests.support.rehearse import people
from worker.rooms.keeper_mesh import MeshKeeper
from worker.testroom.server import serve_room

THREE = people(
    3, defaults="[defaults.camera]\nwidth = 160\nheight = 90\nfps = 15\nbitrate_kbps = 100\n"
)


async def test_a_recording_goes_on_without_the_removed_and_ends_when_the_room_is_dismissed(
    tmp_path: Path,
) -> None:
    async with (
        live_room(THREE) as url,
        worker(document(tmp_path, url, mix={"max_idle_time": 5})) as recorder,
    ):
        keeper = MeshKeeper(url)
        await recorder.recorded(2)
        await keeper.remove_users(ROOM, ["user-1"])
        await recorder.recorded(4)
        assert await keeper.dismiss(ROOM)
        assert await asyncio.wait_for(recorder.ended(), 20) == 0, recorder.said

    result = recorder.result
    assert result["reason"] == "max_idle"
    left_s = {entry["user_id"]: entry["left_s"] for entry in result["participants"]}
    assert left_s["user-1"] == pytest.approx(2.5, abs=1.0)
    assert all(left_s[user] > left_s["user-1"] + 1.0 for user in left_s.keys() - {"user-1"})
    assert recorder.recording.decode_errors() == ""
    assert recorder.recording.video.packets == result["video"]["frames"]


async def test_the_page_says_why_one_is_out_and_lets_one_come_back() -> None:
    async with (
        chromium() as browser,
        serve_room() as address,
        visit(browser, address.page_url, "Ada", "demo", user_id="ada") as ada,
        visit(browser, address.page_url, "Bob", "demo", user_id="bob") as bob,
    ):
        await ada.sees("Bob")
        keeper = MeshKeeper(address.ws_url)

        await keeper.remove_users("demo", ["ada"])
        await ada.until("document.querySelector('#join-error').textContent.includes('removed')")
        await bob.until("document.querySelectorAll('.tile').length === 1")

        await ada.page.click("#join")
        await ada.sees("Bob")
        await keeper.dismiss("demo")
        for person in (ada, bob):
            await person.until(
                "document.querySelector('#join-error').textContent.includes('closed the room')"
            )
        assert (ada.complaints, bob.complaints) == ([], [])
