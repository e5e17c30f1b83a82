"""The room adapter against a scripted server with real peers, over loopback and in real time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.rooms.mesh_world import (
    CAMERA,
    MICROPHONE,
    SCREEN,
    Ear,
    ScriptedRoom,
    scripted_room,
)
from tests.support.waiting import until
from worker.core.identity import (
    Kind,
    Participant,
    ParticipantId,
    Source,
    Track,
    TrackId,
    UserId,
)
from worker.core.layout.geometry import Size
from worker.errors import RoomError, RoomRefused
from worker.ports import (
    ParticipantJoined,
    ParticipantLeft,
    RoomConnected,
    RoomDisconnected,
    TrackEnded,
    TrackMuted,
    TrackPublished,
)
from worker.rooms import bad_messages, silence, subscription
from worker.rooms.ice import IceSettings
from worker.rooms.mesh import MeshRoom
from worker.rooms.mesh_messages import MAX_MESSAGE_BYTES

DEADLINE_S = 15
CAM, MIC, SCR = TrackId("p1/cam"), TrackId("p1/mic"), TrackId("p1/scr")


def mesh_room(room: ScriptedRoom) -> MeshRoom:
    return MeshRoom(
        url=room.url,
        room_id="room",
        user_id="recorder",
        clock_ns=time.monotonic_ns,
        ice=IceSettings(host_addresses=("127.0.0.1",)),
    )


@asynccontextmanager
async def joined(room: ScriptedRoom) -> AsyncIterator[tuple[MeshRoom, Ear]]:
    ear, mesh = Ear(), mesh_room(room)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(mesh.run(ear))
        try:
            yield mesh, ear
        finally:
            running.cancel()


def heard(ear: Ear, *track_ids: TrackId) -> bool:
    return set(track_ids) <= {frame.track_id for frame in ear.frames}


async def test_who_is_there_is_told_and_their_media_arrives() -> None:
    async with scripted_room() as room:
        room.add("p1", CAMERA, MICROPHONE)
        async with joined(room) as (mesh, ear):
            await until(lambda: heard(ear, CAM, MIC))
            assert ear.events == [
                ParticipantJoined(Participant(ParticipantId("p1"), UserId("user-p1"), "p1")),
                TrackPublished(Track(CAM, ParticipantId("p1"), Kind.VIDEO, Source.CAMERA)),
                TrackPublished(Track(MIC, ParticipantId("p1"), Kind.AUDIO, Source.MICROPHONE)),
                RoomConnected(),
            ]
            assert mesh.statistics()[CAM].frames_received > 0
            assert mesh.statistics()[CAM].packets_lost == 0
        assert room.joins == [
            {
                "type": "join",
                "room": "room",
                "user_id": "recorder",
                "name": "mixworker",
                "role": "subscriber",
                "resume": "",
            }
        ]


async def test_twenty_publishers_at_once_are_all_subscribed() -> None:
    async with scripted_room() as room:
        for index in range(20):
            room.add(f"p{index}", MICROPHONE)
        async with joined(room) as (_, ear):
            began = time.monotonic()
            everybody = [TrackId(f"p{index}/mic") for index in range(20)]
            await until(lambda: heard(ear, *everybody))
            assert time.monotonic() - began < 5


async def test_joining_muting_and_leaving_become_events() -> None:
    async with scripted_room() as room, joined(room) as (_, ear):
        await until(lambda: ear.events == [RoomConnected()])
        publisher = room.add("p1", MICROPHONE)
        await room.send({"type": "joined", "participant": publisher.listing()})
        await until(lambda: heard(ear, MIC))
        del ear.events[:]
        muted = {**MICROPHONE, "muted": True}
        await room.send({"type": "tracks", "id": "p1", "tracks": [muted]})
        await room.send({"type": "tracks", "id": "p1", "tracks": [MICROPHONE]})
        await room.send({"type": "left", "id": "p1"})
        await room.send({"type": "left", "id": "p1"})
        await until(lambda: len(ear.events) == 4)
        assert ear.events == [
            TrackMuted(MIC, True),
            TrackMuted(MIC, False),
            TrackEnded(MIC),
            ParticipantLeft(ParticipantId("p1")),
        ]
        count = len(ear.frames)
        await asyncio.sleep(0.1)
        assert len(ear.frames) == count


async def test_a_track_that_is_added_later_comes_over_the_same_session() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            await publisher.change_tracks([MICROPHONE, SCREEN])
            await until(lambda: heard(ear, SCR))
            assert len(publisher.subscribed) == 1
            await publisher.change_tracks([SCREEN])
            await until(lambda: TrackEnded(MIC) in ear.events)
            del ear.frames[:]
            await until(lambda: len(ear.frames) > 5)
            assert {frame.track_id for frame in ear.frames} == {SCR}


async def test_a_publisher_without_tracks_is_subscribed_when_it_has_some() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1")
        async with joined(room) as (_, ear):
            await until(lambda: RoomConnected() in ear.events)
            assert publisher.subscribed == []
            await publisher.change_tracks([MICROPHONE])
            await until(lambda: heard(ear, MIC))


async def test_a_refusal_ends_the_room_with_its_reason() -> None:
    async with scripted_room() as room:
        room.refusal = "wrong token"
        with pytest.raises(RoomRefused, match="wrong token"):
            async with asyncio.timeout(DEADLINE_S):
                await mesh_room(room).run(Ear())


async def test_media_goes_on_while_signalling_is_away_and_nobody_is_announced_twice() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            room.refusal = "not yet"
            await room.hang_up()
            await until(lambda: any(isinstance(e, RoomDisconnected) for e in ear.events))
            count = len(ear.frames)
            await until(lambda: len(ear.frames) > count + 10)
            room.refusal = None
            await until(lambda: ear.events.count(RoomConnected()) == 2)
            assert sum(isinstance(event, ParticipantJoined) for event in ear.events) == 1
            assert sum(isinstance(event, TrackPublished) for event in ear.events) == 1
            await until(lambda: len(publisher.closed) == 1)
            assert len(publisher.subscribed) == 2
            assert publisher.closed == publisher.subscribed[:1]
            await until(lambda: ear.frames[-1].epoch > 0)
            arrivals = [frame.arrival_ns for frame in ear.frames]
            gaps = [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)]
            assert max(gaps) < 500_000_000


async def test_a_publisher_that_restarts_ice_gets_a_new_session_and_no_frame_is_missed() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", CAMERA, MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, CAM, MIC))
            publisher.restarts_ice = True
            await publisher.offer(publisher.subscribed[0])
            await until(lambda: {f.track_id for f in ear.frames if f.epoch > 0} == {CAM, MIC})
            await until(lambda: publisher.closed == publisher.subscribed[:1])
            assert len(publisher.subscribed) == 2
            for track_id in (CAM, MIC):
                arrivals = [f.arrival_ns for f in ear.frames if f.track_id == track_id]
                gaps = [b - a for a, b in zip(arrivals, arrivals[1:], strict=False)]
                assert max(gaps) < 500_000_000


async def test_a_room_that_throws_us_out_is_joined_again_as_somebody_new() -> None:
    """As with a duplicate identity: our place is gone, the publishers are told that we left."""
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            await room.hang_up(4001)
            await until(lambda: len(room.joins) == 2)
            await until(lambda: ear.frames[-1].epoch > 0)
            assert len(publisher.subscribed) == 2
            assert sum(isinstance(event, ParticipantJoined) for event in ear.events) == 1
            arrivals = [frame.arrival_ns for frame in ear.frames]
            gaps = [b - a for a, b in zip(arrivals, arrivals[1:], strict=False)]
            assert max(gaps) < 500_000_000


async def test_who_left_and_came_while_signalling_was_away_is_told_afterwards() -> None:
    async with scripted_room() as room:
        room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            del ear.events[:]
            await room.publishers.pop("p1").close()
            room.add("p2", MICROPHONE)
            await room.hang_up()
            await until(lambda: heard(ear, TrackId("p2/mic")))
            kinds = [type(event) for event in ear.events]
            assert kinds == [
                RoomDisconnected,
                TrackEnded,
                ParticipantLeft,
                ParticipantJoined,
                TrackPublished,
                RoomConnected,
            ]


async def test_a_connection_that_the_publisher_ends_is_made_again() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            _, session = publisher.sessions.popitem()
            await session.peer.close()
            await until(lambda: bool(ear.frames) and ear.frames[-1].epoch > 0)
            assert len(publisher.subscribed) == 2


async def test_a_session_the_publisher_closes_by_signal_is_made_again() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            await room.send(
                {
                    "type": "signal",
                    "from": "p1",
                    "data": {"kind": "close", "session": publisher.subscribed[0]},
                }
            )
            await until(lambda: ear.frames[-1].epoch > 0)


async def test_a_silent_connection_is_replaced_and_a_muted_one_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_SESSION_NS", 300_000_000)
    monkeypatch.setattr(subscription, "WATCH_INTERVAL_S", 0.05)
    async with scripted_room() as room:
        silent, muted = room.add("p1", MICROPHONE), room.add("p2", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC, TrackId("p2/mic")))
            await muted.change_tracks([{**MICROPHONE, "muted": True}])
            silent.dead_sessions.add(silent.subscribed[0])
            muted.is_sending = False
            await until(lambda: ear.frames[-1].epoch > 0)
            await until(lambda: silent.closed == silent.subscribed[:1])
            assert len(silent.subscribed) == 2
            assert len(muted.subscribed) == 1


async def test_a_session_that_comes_back_to_life_is_kept_and_the_attempt_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_SESSION_NS", 300_000_000)
    monkeypatch.setattr(subscription, "WATCH_INTERVAL_S", 0.05)
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            publisher.is_deaf = True
            publisher.is_sending = False
            await until(lambda: len(publisher.subscribed) == 2)
            count = len(ear.frames)
            publisher.is_sending = True
            await until(lambda: publisher.closed == publisher.subscribed[1:])
            await until(lambda: len(ear.frames) > count + 20)
            assert {frame.epoch for frame in ear.frames} == {0}
            assert len(publisher.subscribed) == 2


async def test_a_publisher_is_told_which_videos_are_looked_at() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", CAMERA, MICROPHONE)
        async with joined(room) as (mesh, ear):
            await until(lambda: heard(ear, CAM, MIC))
            assert publisher.wishes == []
            mesh.want_video({CAM: Size(320, 180), TrackId("p2/cam"): Size(64, 64)})
            await until(lambda: len(publisher.wishes) == 1)
            mesh.want_video({CAM: Size(320, 180)})
            mesh.want_video({})
            await until(lambda: len(publisher.wishes) == 2)
            session = publisher.subscribed[0]
            assert publisher.wishes == [
                {"kind": "want", "session": session, "video": {"cam": [320, 180]}},
                {"kind": "want", "session": session, "video": {}},
            ]
            late = room.add("p3", CAMERA)
            mesh.want_video({TrackId("p3/cam"): Size(64, 64)})
            await room.send({"type": "joined", "participant": late.listing()})
            await until(lambda: heard(ear, TrackId("p3/cam")))
            assert [wish["kind"] for wish in late.wishes] == ["subscribe"]
            assert late.wishes[0]["video"] == {"cam": [64, 64]}


async def test_nothing_comes_of_a_video_nobody_looks_at_and_nobody_takes_it_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_SESSION_NS", 300_000_000)
    monkeypatch.setattr(silence, "DEAD_TRACK_NS", 300_000_000)
    monkeypatch.setattr(subscription, "WATCH_INTERVAL_S", 0.05)
    async with scripted_room() as room:
        publisher = room.add("p1", CAMERA)
        obstinate = room.add("p2", CAMERA)
        async with joined(room) as (mesh, ear):
            await until(lambda: heard(ear, CAM, TrackId("p2/cam")))
            mesh.want_video({})
            await until(lambda: bool(publisher.wishes))
            publisher.paused.add("cam")
            del ear.frames[:]
            await asyncio.sleep(1)
            assert ear.frames == []
            mesh.want_video({CAM: Size(64, 64), TrackId("p2/cam"): Size(64, 64)})
            publisher.paused.clear()
            await until(lambda: heard(ear, CAM, TrackId("p2/cam")))
            assert len(publisher.subscribed) == len(obstinate.subscribed) == 1


async def test_a_bad_offer_is_answered_by_trying_again() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        publisher.offers_garbage = 2
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            assert len(publisher.subscribed) == 3


async def test_a_bad_offer_on_a_good_session_leaves_the_session_alone() -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            publisher.offers_garbage = 1
            await publisher.offer(publisher.subscribed[0])
            count = len(ear.frames)
            await until(lambda: len(ear.frames) > count + 20)
            assert len(publisher.subscribed) == 1


async def test_an_answer_that_cannot_be_sent_costs_the_session_not_the_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted_room() as room:
        publisher = room.add("p1", MICROPHONE)
        async with joined(room) as (mesh, ear):
            await until(lambda: heard(ear, MIC))
            send = mesh._signalling.send
            failures = 3

            async def fail(text: str) -> None:
                nonlocal failures
                failures -= 1
                if failures < 0:
                    await send(text)
                else:
                    raise RoomError("signalling does not take messages")

            monkeypatch.setattr(mesh._signalling, "send", fail)
            await publisher.offer(publisher.subscribed[0])
            await publisher.offer(publisher.subscribed[0])
            await until(lambda: ear.frames[-1].epoch > 0)
            assert failures < 0


async def test_a_deaf_publisher_keeps_nobody_else_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscription, "OFFER_TIMEOUT_S", 0.2)
    async with scripted_room() as room:
        deaf = room.add("p1", MICROPHONE)
        deaf.is_deaf = True
        room.add("p2", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, TrackId("p2/mic")))
            await until(lambda: len(deaf.subscribed) >= 2)
            deaf.is_deaf = False
            await until(lambda: heard(ear, MIC))


async def test_nonsense_is_counted_and_ignored_until_it_is_too_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bad_messages, "MAX_BAD_MESSAGES", 50)
    async with scripted_room() as room:
        room.add("p1", MICROPHONE)
        async with joined(room) as (mesh, ear):
            await until(lambda: RoomConnected() in ear.events)
            for _ in range(48):
                await room.send('{"type": "tracks", "id": 5, "tracks": NaN}')
            await room.send({"type": "signal", "from": "p9", "data": {"kind": "offer"}})
            await until(lambda: mesh.bad_message_count == 49)
            await until(lambda: heard(ear, MIC))
            assert len(room.joins) == 1
            await room.send("]")
            await until(lambda: ear.events.count(RoomConnected()) == 2)


async def test_a_giant_message_costs_the_connection_to_the_server_and_no_media() -> None:
    async with scripted_room() as room:
        room.add("p1", MICROPHONE)
        async with joined(room) as (_, ear):
            await until(lambda: heard(ear, MIC))
            await room.send('{"type": "news", "text": "' + "x" * MAX_MESSAGE_BYTES + '"}')
            await until(lambda: ear.events.count(RoomConnected()) == 2)
            assert sum(isinstance(event, ParticipantJoined) for event in ear.events) == 1
            count = len(ear.frames)
            await until(lambda: len(ear.frames) > count + 10)
            arrivals = [frame.arrival_ns for frame in ear.frames]
            gaps = [after - before for before, after in zip(arrivals, arrivals[1:], strict=False)]
            assert max(gaps) < 500_000_000


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    async with scripted_room() as room:
        room.add("p1", MICROPHONE)
        mesh = mesh_room(room)
        room_gone = MeshRoom(
            url="ws://127.0.0.1:9/ws",
            room_id="room",
            user_id="recorder",
            clock_ns=time.monotonic_ns,
        )
        ear = Ear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await room_gone.run(ear)
        assert ear.events == []
        assert mesh.statistics() == {}
