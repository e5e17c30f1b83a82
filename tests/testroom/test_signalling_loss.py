"""Signalling that fails costs no media: a real server, real publishers and our room adapter."""

import asyncio

import pytest

from tests.support.company import actor, company, event, missing
from worker.core.identity import Kind
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    TrackPublished,
)
from worker.testroom import presence, seat
from worker.testroom.loop_media import LoopLibrary
from worker.testroom.server import serve_room

ADA = actor("ada")
BOTH = [("ada", "camera"), ("ada", "microphone")]


@pytest.fixture(scope="module")
def library() -> LoopLibrary:
    return LoopLibrary(None)


@pytest.mark.parametrize("whose", ["worker", "cast", "both"])
async def test_a_socket_that_is_reset_costs_no_frame_and_nobody_is_announced_twice(
    library: LoopLibrary, whose: str
) -> None:
    async with company(ADA, library) as people:
        witness = people.witness
        camera, microphone = await people.heard(*BOTH, frames=10)
        links = {"worker": [people.worker_link], "cast": [people.cast_link]}
        for link in links.get(whose, [people.worker_link, people.cast_link]):
            before = link.connections
            link.cut()
            await people.until(lambda link=link, before=before: link.connections > before)
        if whose != "cast":
            await people.until(lambda: witness.count(RoomConnected) == 2)

        count = len(witness.of(camera))
        await people.until(lambda: len(witness.of(camera)) > count + 10)
        assert missing(witness.of(camera), Kind.VIDEO) == 0
        assert missing(witness.of(microphone), Kind.AUDIO) == 0
        assert witness.count(ParticipantJoined) == 1
        assert witness.count(TrackPublished) == 2
        assert witness.count(ParticipantLeft) == 0
        if whose != "cast":
            assert witness.count(RoomDisconnected) == 1
            assert witness.count(RoomConnected) == 2


async def test_sockets_that_die_without_a_word_are_found_dead_within_ten_seconds(
    library: LoopLibrary,
) -> None:
    async with company(ADA, library, deadline_s=40) as people:
        witness = people.witness
        camera, microphone = await people.heard(*BOTH, frames=10)
        began_s = asyncio.get_running_loop().time()
        people.worker_link.freeze()
        people.cast_link.freeze()
        await people.until(lambda: people.worker_link.connections == 2)
        await people.until(lambda: people.cast_link.connections == 2)
        assert asyncio.get_running_loop().time() - began_s < 10
        await people.until(lambda: witness.count(RoomConnected) == 2)

        count = len(witness.of(camera))
        await people.until(lambda: len(witness.of(camera)) > count + 10)
        assert missing(witness.of(camera), Kind.VIDEO) == 0
        assert missing(witness.of(microphone), Kind.AUDIO) == 0
        assert witness.count(ParticipantJoined) == 1
        assert witness.count(ParticipantLeft) == 0


async def test_what_changes_while_signalling_is_away_is_made_up_for(library: LoopLibrary) -> None:
    """Somebody comes, somebody goes, a screen is shared and a camera muted meanwhile."""
    people_and_events = [
        ADA,
        actor("bob", "leave_s = 3"),
        actor("cy", "join_s = 3"),
        event(3, "ada", "share_screen"),
        event(3.2, "ada", "mute_camera"),
    ]
    async with company(people_and_events, library, deadline_s=40) as people:
        witness = people.witness
        _, microphone = await people.heard(*BOTH)
        await people.heard(("bob", "camera"))
        people.worker_link.refuse()
        await asyncio.sleep(3.5)
        assert witness.count(ParticipantLeft) == 0
        assert witness.count(ParticipantJoined) == 2
        people.worker_link.mend()
        await people.heard(("ada", "screen-1"), ("cy", "camera"))
        assert witness.count(ParticipantJoined) == 3
        assert witness.count(ParticipantLeft) == 1
        assert witness.track("bob", "camera") is None
        assert missing(witness.of(microphone), Kind.AUDIO) == 0


async def test_a_screen_whose_offer_was_lost_with_the_connection_is_asked_for(
    library: LoopLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = presence.Presence._put
    lost = 0

    def lose_second_offer(self: presence.Presence, message: dict[str, dict[str, object]]) -> None:
        nonlocal lost
        if message["type"] == "signal" and message["data"]["kind"] == "offer":
            lost += 1
            if lost == 2:
                return
        put(self, message)

    monkeypatch.setattr(presence.Presence, "_put", lose_second_offer)
    async with company([ADA, event(1, "ada", "share_screen")], library) as people:
        await people.heard(*BOTH)
        (_, microphone) = await people.heard(("ada", "screen-1"), ("ada", "microphone"))
        assert people.witness.longest_gap_s(microphone) < 0.5


async def test_who_stays_away_too_long_has_left_and_is_new_when_back(
    library: LoopLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "KEPT_S", 0.3)
    async with company(ADA, library) as people:
        witness = people.witness
        await people.heard(*BOTH)
        people.cast_link.refuse()
        await people.until(lambda: witness.count(ParticipantLeft) == 1)
        people.cast_link.mend()
        await people.heard(*BOTH)
        assert witness.count(ParticipantJoined) == 2


@pytest.mark.parametrize("first", ["worker", "cast"])
async def test_a_server_that_was_restarted_costs_little_media(
    library: LoopLibrary, first: str
) -> None:
    """Whoever is back first: the other's connections go on until it is back too."""
    async with company(ADA, library) as people, serve_room() as restarted:
        witness = people.witness
        await people.heard(*BOTH, frames=20)
        links = [people.worker_link, people.cast_link]
        if first == "cast":
            links.reverse()
        for link in links:
            link.refuse()
        await asyncio.sleep(0.5)
        for link in links:
            link.lead_to(restarted.ws_url)
            link.mend()
            await asyncio.sleep(1)
        await people.until(lambda: witness.count(ParticipantLeft) == 1)
        _, microphone = await people.heard(*BOTH)
        assert microphone != witness.frames[0].track_id
        print(f"{first} first: nothing for {witness.longest_gap_s():.2f} s")
        assert witness.longest_gap_s() < 1
        assert witness.count(ParticipantJoined) == 2
        kinds = [type(event) for event in witness.events]
        assert kinds.index(ParticipantLeft) > kinds.index(RoomDisconnected)


async def test_while_signalling_is_away_or_new_the_room_does_not_look_empty(
    library: LoopLibrary,
) -> None:
    """Somebody who sends is there, whatever a server says that has just forgotten everybody."""
    async with company(ADA, library) as people, serve_room() as restarted:
        witness = people.witness
        await people.heard(*BOTH)
        people.cast_link.refuse()
        people.worker_link.lead_to(restarted.ws_url)
        await people.until(lambda: witness.count(RoomConnected) == 2)
        await asyncio.sleep(1)
        assert witness.count(ParticipantLeft) == 0
        assert len(witness.tracks) == 2
