"""What a Janus, its network and its administrators do to a recorder."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support import oracle
from tests.support.janus import URL, JanusOptions, janus_server
from tests.support.janus_cast import janus_cast
from tests.support.live import document, worker
from tests.support.look import Recording
from tests.support.namespace import network_namespace
from tests.support.rehearse import people
from tests.support.seeing import Watch, longest_freeze_s
from tests.support.tcp_faults import tcp_link
from worker.core.layout.geometry import Size
from worker.ports import (
    EncodedFrame,
    RoomConnected,
    RoomDisconnected,
    RoomEvent,
    SenderReport,
)
from worker.rooms.janus import JanusEntry, JanusRoom

LOOP_FRAMES = 300
TWO = people(2)
SECRET = "pin-that-nobody-may-see"  # noqa: S105


@pytest.fixture(autouse=True)
def namespace() -> Iterator[None]:
    with network_namespace():
        yield


def job(directory: Path, *, seconds: float, **room: object) -> dict[str, object]:
    return document(
        directory,
        "",
        room={"kind": "janus", "url": URL, "room": 1234, "user_id": "display", **room},
        max_duration_s=seconds,
    )


def counters(recording: Recording, count: int) -> list[list[int | None]]:
    rects = oracle.gallery(count, 640, 480)
    histories = recording.watch({n: Watch(rect) for n, rect in enumerate(rects)})
    return [history.counters for history in histories.values()]


@pytest.mark.timeout(150)
async def test_a_signalling_connection_cut_for_three_seconds_costs_no_frame(tmp_path: Path) -> None:
    async with (
        janus_server(tmp_path / "janus"),
        janus_cast(TWO),
        tcp_link(URL) as (link, address),
        worker(job(tmp_path, seconds=18, url=address)) as recorder,
    ):
        await recorder.recorded(4)
        link.refuse()
        await recorder.recorded(7)
        link.mend()
        assert await recorder.ended() == 0, recorder.said
        assert link.connections >= 3
    recording = recorder.recording
    assert recording.video.packets == 18 * 15
    for history in counters(recording, 2):
        after_start = history[45:]
        assert None not in after_start
        assert longest_freeze_s(after_start, 15) <= 0.15
    joined = [p["user_id"] for p in recorder.result["participants"]]
    assert sorted(joined) == ["user-0", "user-1"], "nobody joined twice"


@pytest.mark.timeout(150)
async def test_a_janus_that_was_killed_is_joined_again_and_the_file_goes_on(tmp_path: Path) -> None:
    async with (
        janus_server(tmp_path / "janus") as server,
        worker(job(tmp_path, seconds=25)) as recorder,
    ):
        async with janus_cast(TWO):
            await recorder.recorded(6)
            await server.kill()
        await server.start()
        returned_s = recorder.progress[-1]["recorded_s"]
        async with janus_cast(TWO):
            present_s = recorder.progress[-1]["recorded_s"]
            assert await recorder.ended() == 0, recorder.said
    recording = recorder.recording
    assert recording.decode_errors() == ""
    assert recording.video.packets == 25 * 15, "the timeline has neither gap nor stretch"
    rejoined_s = [p["joined_s"] for p in recorder.result["participants"]][2:]
    print("back", returned_s, "publishers back", present_s, "seen again", rejoined_s)
    assert len(rejoined_s) == 2
    assert max(rejoined_s) <= present_s + 5
    for history in counters(recording, 2):
        assert None not in history[round(15 * (max(rejoined_s) + 3)) :]


@pytest.mark.timeout(240)
async def test_twenty_five_publishers_within_a_second_are_all_seen_within_five(
    tmp_path: Path,
) -> None:
    small = "[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 150\n"
    mix = {"encode_template": "1280x720_15_1130"}
    options = JanusOptions(room_settings={"bitrate": 300_000})
    async with janus_server(tmp_path / "janus", options):
        begun = job(tmp_path, seconds=30)
        begun["mix_param"] |= mix  # type: ignore[operator]
        async with worker(begun) as recorder:
            await recorder.recorded(1)
            async with janus_cast(people(25, defaults=small)):
                assert await recorder.ended() == 0, recorder.said
    joined = [p["joined_s"] for p in recorder.result["participants"]]
    print(f"joined within {max(joined) - min(joined):.2f} s;", recorder.result["video"])
    assert len(joined) == 25
    recording = recorder.recording
    rects = oracle.gallery(25, 1280, 720)
    watched = recording.watch(
        {n: Watch(rect, source=Size(320, 180)) for n, rect in enumerate(rects)}
    )
    first_s = []
    for history in watched.values():
        seen = [n for n, person in enumerate(history.people) if person is not None]
        first_s.append(seen[0] / 15 if seen else 1e9)
    print(f"all visible {max(first_s) - max(joined):.2f} s after the last one joined")
    assert max(first_s) <= max(joined) + 5
    assert recorder.result["video"]["worst_lag_ms"] <= 100


@pytest.mark.parametrize(
    ("room", "options", "complaint"),
    [
        ({"room": 999}, JanusOptions(), "there is no such room"),
        ({"pin": SECRET}, JanusOptions(pin="another"), "pin"),
        ({"api_secret": SECRET}, JanusOptions(api_secret="another"), "API secret"),
    ],
)
async def test_a_room_that_says_no_ends_the_job_with_a_reason_and_without_our_secrets(
    tmp_path: Path, room: dict[str, object], options: JanusOptions, complaint: str
) -> None:
    async with (
        janus_server(tmp_path / "janus", options),
        worker(job(tmp_path, seconds=10, **room)) as recorder,
    ):
        assert await recorder.ended() == 77
    result = recorder.result
    assert result["reason"] == "room_refused"
    assert complaint in result["error"]
    assert SECRET not in json.dumps(result) + "".join(recorder.complaints)


async def test_a_janus_that_is_not_there_is_waited_for_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIXWORKER_ROOM__CONNECT_TIMEOUT_S", "3")
    async with worker(job(tmp_path, seconds=10)) as recorder:
        assert await recorder.ended() == 69
    assert recorder.result["reason"] == "room_lost"
    assert "could not be joined" in recorder.result["error"]


async def test_a_janus_that_comes_late_is_joined(tmp_path: Path) -> None:
    async with worker(job(tmp_path, seconds=3)) as recorder, janus_server(tmp_path / "janus"):
        assert await recorder.ended() == 0, recorder.said
    assert recorder.recording.video.packets == 3 * 15


class Overheard:
    """A listener that keeps the events."""

    def __init__(self, events: list[RoomEvent]) -> None:
        self.on_event = events.append

    def on_frame(self, frame: EncodedFrame) -> None: ...

    def on_sender_report(self, report: SenderReport) -> None: ...


GARBAGE = (
    "",
    "[",
    "{}",
    '{"janus": 5}',
    '{"janus": "event", "sender": 7, "plugindata": []}',
    '{"janus": "event", "sender": 2, "plugindata": {"data": {"publishers": 1}}}',
    '{"janus": "event", "sender": 2, "jsep": {"type": "offer", "sdp": 1}}',
    "[" * 50_000,
    '{"janus": "event", "sender": 1e999}',
)


async def test_nonsense_from_janus_is_counted_and_the_room_joined_again() -> None:
    visits = 0
    third = asyncio.Event()

    async def nonsense(request: web.Request) -> web.WebSocketResponse:
        nonlocal visits
        visits += 1
        if visits == 3:
            third.set()
        socket = web.WebSocketResponse(protocols=("janus-protocol",))
        await socket.prepare(request)
        number = 0
        async for received in socket:
            asked = json.loads(received.data)
            number += 1
            answer = {"janus": "success", "transaction": asked["transaction"]}
            if asked["janus"] == "message":
                answer |= {
                    "janus": "event",
                    "sender": asked["handle_id"],
                    "plugindata": {"data": {"videoroom": "joined", "publishers": []}},
                }
                await socket.send_json(answer)
                for _ in range(10):
                    for text in GARBAGE:
                        await socket.send_str(text)
                    await socket.send_bytes(b"\x00\xff")
            else:
                await socket.send_json(answer | {"data": {"id": number}})
        return socket

    app = web.Application()
    app.router.add_get("/", nonsense)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 8188).start()
    events: list[RoomEvent] = []
    room = JanusRoom(url=URL, entry=JanusEntry(1234), clock_ns=time.monotonic_ns)
    try:
        async with asyncio.TaskGroup() as tasks:
            staying = tasks.create_task(room.run(Overheard(events)))
            async with asyncio.timeout(10):
                await third.wait()
            staying.cancel()
    finally:
        await runner.cleanup()
    assert room.bad_message_count >= 100
    connected = [event for event in events if isinstance(event, RoomConnected)]
    lost = [event for event in events if isinstance(event, RoomDisconnected)]
    assert len(connected) >= 2
    assert {event.reason for event in lost} == {"too many messages that make no sense"}
