"""The VideoRoom adapter against a scripted Janus with real peers, over loopback."""

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.rooms.janus_world import ICE, ScriptedJanus, scripted_janus
from tests.rooms.mesh_world import Ear
from tests.rooms.test_sdp import mutated
from tests.support.waiting import until
from worker.core.identity import TrackId
from worker.core.layout.geometry import Size
from worker.core.timing import NS_PER_S
from worker.errors import RoomRefused
from worker.ports import ParticipantLeft, RoomConnected, RoomDisconnected
from worker.rooms import janus_link, rejoining, silence
from worker.rooms.janus import JanusEntry, JanusRoom
from worker.rooms.janus_link import JanusAccess
from worker.rooms.media import AnswerResult
from worker.rooms.peer import Peer

DEADLINE_S = 30
SECRETS = ("planted-pin", "planted-token", "planted-api-secret")
VIDEO_7, AUDIO_7 = TrackId("1:7/0"), TrackId("1:7/1")
VIDEO_8 = TrackId("2:8/0")


def janus_room(janus: ScriptedJanus) -> JanusRoom:
    pin, token, api_secret = SECRETS
    return JanusRoom(
        url=janus.url,
        entry=JanusEntry(1, pin, token),
        clock_ns=time.monotonic_ns,
        access=JanusAccess(api_secret, token),
        ice=ICE,
    )


@asynccontextmanager
async def joined(
    janus: ScriptedJanus, deadline_s: float = DEADLINE_S
) -> AsyncIterator[tuple[JanusRoom, Ear]]:
    ear, room = Ear(), janus_room(janus)
    async with asyncio.timeout(deadline_s), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(room.run(ear))
        try:
            yield room, ear
        finally:
            running.cancel()


def heard(ear: Ear, *track_ids: TrackId) -> bool:
    return set(track_ids) <= {frame.track_id for frame in ear.frames}


def frames_of(ear: Ear, track_id: TrackId) -> int:
    return sum(frame.track_id == track_id for frame in ear.frames)


async def test_everybody_is_subscribed_to_over_one_connection() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video", "audio")
        janus.publish(8, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7, AUDIO_7, VIDEO_8))
            assert len(janus.subscribers()) == 1
        publisher, subscriber = janus.asked("join")
        assert publisher["pin"] == subscriber["pin"] == "planted-pin"
        assert subscriber["private_id"] == 77, "some rooms insist on it"
        assert [(entry["feed"], entry["mid"]) for entry in subscriber["streams"]] == [
            (7, "0"),
            (7, "1"),
            (8, "0"),
        ]
        assert all(document["apisecret"] == "planted-api-secret" for document in janus.requests)


async def test_who_comes_and_goes_leaves_the_others_as_they_are() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video", "audio")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            await janus.announce(publishers=[janus.publish(8, "video")])
            await until(lambda: heard(ear, VIDEO_8))
            await janus.announce(unpublished=8)
            await until(lambda: janus.asked("unsubscribe"))
            before = frames_of(ear, VIDEO_7)
            await until(lambda: frames_of(ear, VIDEO_7) > before + 10)
        (left,) = [event for event in ear.events if isinstance(event, ParticipantLeft)]
        assert left.participant_id == "2:8"
        assert {frame.epoch for frame in ear.frames if frame.track_id == VIDEO_7} == {0}


async def test_a_picture_that_comes_before_our_answer_is_taken_for_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted_janus() as janus:
        janus.names_sections = False
        janus.publish(7, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            answer = Peer.answer

            async def answer_late(peer: Peer, offer: str) -> AnswerResult:
                await asyncio.sleep(0.3)
                return await answer(peer, offer)

            monkeypatch.setattr(Peer, "answer", answer_late)
            await janus.announce(publishers=[janus.publish(8, "video")])
            await until(lambda: heard(ear, VIDEO_8))
        assert {frame.epoch for frame in ear.frames if frame.track_id == VIDEO_7} == {0}


async def test_a_feed_that_has_gone_unannounced_does_not_keep_the_others_away() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        janus.publish(8, "video")
        janus.publish(9, "video")
        janus.refused_feeds = {8}
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7, TrackId("3:9/0")))
            janus.refused_feeds = set()
            await until(lambda: heard(ear, VIDEO_8))


async def test_what_nobody_looks_at_is_paused_and_begins_with_a_keyframe_again() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video", "audio", simulcast=True)
        async with joined(janus) as (room, ear):
            await until(lambda: heard(ear, VIDEO_7, AUDIO_7))
            room.want_video({})
            paused = frames_of(ear, VIDEO_7)
            spoken = frames_of(ear, AUDIO_7)
            await until(lambda: frames_of(ear, AUDIO_7) > spoken + 20)
            assert frames_of(ear, VIDEO_7) == paused, "from that moment on, whatever Janus does"
            room.want_video({VIDEO_7: Size(426, 240)})
            await until(lambda: frames_of(ear, VIDEO_7) > paused + 3)
            room.want_video({VIDEO_7: Size(960, 720)})
            await until(lambda: len(janus.asked("configure")) == 4)
        frames = [frame for frame in ear.frames if frame.track_id == VIDEO_7]
        assert frames[paused].keyframe
        asked = [body["streams"] for body in janus.asked("configure")]
        assert asked == [
            [{"mid": "0", "send": True}],
            [{"mid": "0", "send": False, "substream": 0}],
            [{"mid": "0", "send": True, "substream": 1}],
            [{"mid": "0", "send": True, "substream": 2}],
        ]


async def test_a_lost_socket_is_replaced_and_the_session_claimed_while_media_flows() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            await janus.hang_up()
            await until(lambda: ear.events.count(RoomConnected()) == 2)
            before = frames_of(ear, VIDEO_7)
            await until(lambda: frames_of(ear, VIDEO_7) > before + 10)
            assert len(janus.subscribers()) == 1
        assert [document["janus"] for document in janus.requests].count("claim") == 1
        timestamps = [frame.rtp_timestamp for frame in ear.frames]
        assert len(set(timestamps)) == len(timestamps), "nothing came twice"
        assert {frame.epoch for frame in ear.frames} == {0}


async def test_a_janus_that_forgot_us_is_joined_anew() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            dead = list(janus.handles.values())
            janus.restart()
            before = len(ear.frames)
            await janus.hang_up()
            await until(lambda: len(ear.frames) > before + 10)
            for handle in dead:
                if handle.peer is not None:
                    await handle.peer.close()
        assert max(frame.epoch for frame in ear.frames) > 0, "another sender, another clock"


async def test_a_stream_from_which_nothing_comes_is_subscribed_to_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_TRACK_NS", 300_000_000)
    monkeypatch.setattr(silence, "DEAD_TRACK_NS", 600_000_000)
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        janus.publish(8, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7, VIDEO_8))
            (handle,) = janus.subscribers()
            del handle.senders["1"]
            await until(lambda: janus.asked("subscribe"))
            before = frames_of(ear, VIDEO_8)
            await until(lambda: frames_of(ear, VIDEO_8) > before)
        assert janus.asked("unsubscribe")[0]["streams"] == [{"sub_mid": "1"}]
        (entry,) = janus.asked("subscribe")[0]["streams"]
        assert (entry["feed"], entry["mid"]) == (8, "0")


async def test_a_silent_connection_is_replaced_before_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(silence, "SILENT_SESSION_NS", 500_000_000)
    async with scripted_janus() as janus:
        janus.publish(7, "video", "audio")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7, AUDIO_7))
            (first,) = janus.subscribers()
            first.is_dead = True
            await until(lambda: len(janus.subscribers()) == 2)
            before = len(ear.frames)
            await until(lambda: len(ear.frames) > before + 10)
            await until(lambda: first.handle_id not in janus.handles)


async def test_a_janus_that_does_not_answer_is_given_up_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(janus_link, "REQUEST_TIMEOUT_S", 0.2)
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        janus.is_mute = True
        async with joined(janus) as (_, ear):
            await until(lambda: len(janus.requests) >= 2)
            assert ear.events == []
            janus.is_mute = False
            await until(lambda: heard(ear, VIDEO_7))


async def test_a_secret_that_is_not_accepted_ends_it_at_once_and_is_named_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted_janus() as janus:
        janus.errors = {"create": 403}
        with pytest.raises(RoomRefused) as caught:
            await janus_room(janus).run(Ear())
    said = caplog.text + repr(caught.value) + repr(janus_room(janus)._entry)
    assert not any(secret in said for secret in SECRETS)


async def test_a_refusal_after_we_were_in_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            janus.errors = {"claim": 403, "create": 403}
            await janus.hang_up()
            await until(lambda: len(janus.requests) > 8)
            janus.errors = {}
            await until(lambda: ear.events.count(RoomConnected()) == 2)
            monkeypatch.setattr(rejoining, "REFUSED_AGAIN_NS", 0)
        assert [e.reason for e in ear.events if isinstance(e, RoomDisconnected)] == [
            "connection closed"
        ]


async def test_five_thousand_mutated_offers_are_counted_and_cost_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Offers may take away what is sent; that nothing comes is not to be noticed meanwhile.
    monkeypatch.setattr(silence, "SILENT_SESSION_NS", 3600 * NS_PER_S)
    monkeypatch.setattr(silence, "DEAD_TRACK_NS", 3600 * NS_PER_S)
    rng = random.Random(20261122)
    async with scripted_janus() as janus:
        janus.publish(7, "video", "audio")
        # As fast as it goes: ten seconds of CPU.
        async with joined(janus, 3 * DEADLINE_S) as (room, ear):
            await until(lambda: heard(ear, VIDEO_7, AUDIO_7))
            (handle,) = janus.subscribers()
            handle.is_deaf = True  # answers are to no offer of its peer
            for _ in range(5_000):
                taken = handle.starts + room.bad_offer_count
                offer = mutated(handle.offer, rng)
                while transport(offer) != transport(handle.offer):
                    offer = mutated(handle.offer, rng)
                jsep = {"type": "offer", "sdp": offer}
                await janus.event(handle.handle_id, {"videoroom": "event"}, jsep=jsep)
                while handle.starts + room.bad_offer_count == taken:  # noqa: ASYNC110 - two ends
                    await asyncio.sleep(0)
            print(f"5,000 offers, {room.bad_offer_count} refused")
            assert 100 < room.bad_offer_count < 5_000
            assert janus.subscribers() == [handle]
            await janus.event(handle.handle_id, {}, jsep={"type": "offer", "sdp": handle.offer})
            before = len(ear.frames)
            await until(lambda: heard_since(ear, before) == {VIDEO_7, AUDIO_7})


async def test_an_offer_of_another_transport_gets_another_connection() -> None:
    async with scripted_janus() as janus:
        janus.publish(7, "video")
        async with joined(janus) as (_, ear):
            await until(lambda: heard(ear, VIDEO_7))
            (handle,) = janus.subscribers()
            offer = re.sub("(?m)^a=ice-ufrag:.*$", "a=ice-ufrag:anew\r", handle.offer)
            await janus.event(handle.handle_id, {}, jsep={"type": "offer", "sdp": offer})
            await until(lambda: handle.handle_id not in janus.handles)
            before = len(ear.frames)
            await until(lambda: len(ear.frames) > before + 10)


def transport(offer: str) -> list[str]:
    """The lines that another connection would have otherwise."""
    return re.findall("(?m)^a=(?:ice-(?:ufrag|pwd)|fingerprint|setup):.*$", offer)


def heard_since(ear: Ear, count: int) -> set[TrackId]:
    return {frame.track_id for frame in ear.frames[count:]}
