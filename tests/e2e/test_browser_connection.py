"""A real browser as publisher: its signalling is cut, its unseen video paused."""

import asyncio
import time

from tests.support.browser import chromium, visit
from tests.support.company import Witness
from tests.support.tcp_faults import tcp_link
from tests.support.waiting import until
from worker.core.identity import Source, Track
from worker.core.layout.geometry import Size
from worker.ports import ParticipantJoined, ParticipantLeft
from worker.rooms.mesh import MeshRoom
from worker.testroom.server import serve_room

DEADLINE_S = 60


def published(witness: Witness, source: Source) -> Track | None:
    return next((track for track in witness.tracks if track.source is source), None)


async def test_a_browser_keeps_its_place_and_pauses_what_nobody_looks_at() -> None:
    witness = Witness()
    async with (
        asyncio.timeout(DEADLINE_S),
        serve_room() as address,
        tcp_link(address.page_url) as (link, page_url),
        chromium() as browser,
        visit(browser, page_url, "Ada", "demo") as ada,
        asyncio.TaskGroup() as tasks,
    ):
        room = MeshRoom(
            url=address.ws_url, room_id="demo", user_id="recorder", clock_ns=time.monotonic_ns
        )
        running = tasks.create_task(room.run(witness))
        await until(lambda: published(witness, Source.CAMERA) is not None)
        await until(lambda: published(witness, Source.MICROPHONE) is not None)
        camera = published(witness, Source.CAMERA)
        microphone = published(witness, Source.MICROPHONE)
        assert camera is not None
        assert microphone is not None
        await until(lambda: len(witness.of(camera.track_id)) > 20)
        await until(lambda: len(witness.of(microphone.track_id)) > 20)

        link.cut()
        await ada.until("document.querySelector('#connection').textContent.includes('lost')")
        await ada.until("!document.querySelector('#connection').textContent")
        count = len(witness.of(camera.track_id))
        await until(lambda: len(witness.of(camera.track_id)) > count + 20)
        assert witness.count(ParticipantJoined) == 1
        assert witness.count(ParticipantLeft) == 0
        assert room.statistics()[microphone.track_id].packets_lost == 0
        assert {frame.epoch for frame in witness.of(camera.track_id)} == {0}

        room.want_video({})
        await asyncio.sleep(0.5)
        before = room.statistics()[camera.track_id].packets_received
        frames_before = len(witness.of(camera.track_id))
        sound_before = len(witness.of(microphone.track_id))
        await asyncio.sleep(1.5)
        # Padding may go on for a moment; the camera's hundred packets a second do not.
        assert room.statistics()[camera.track_id].packets_received - before < 10
        assert len(witness.of(camera.track_id)) == frames_before
        assert len(witness.of(microphone.track_id)) > sound_before + 50

        room.want_video({camera.track_id: Size(320, 180)})
        await until(lambda: len(witness.of(camera.track_id)) > frames_before + 20)
        anew = witness.of(camera.track_id)[frames_before]
        assert anew.keyframe
        assert anew.epoch == 0
        assert room.statistics()[microphone.track_id].packets_lost == 0
        running.cancel()

    assert [each for each in ada.complaints if "WebSocket" not in each] == []
