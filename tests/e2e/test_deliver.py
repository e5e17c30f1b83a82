"""A whole delivery: bucket, HLS, two live pushes and signed callbacks, of one encode."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support import oracle
from tests.support.delivering import (
    AUTH_KEY,
    Bucket,
    delivering,
    environment,
    everything_said,
    of_type,
    recover,
)
from tests.support.live import worker
from tests.support.look import Recording
from tests.support.receiver import Receiver, served
from tests.support.rtmp import rtmp_server
from tests.support.s3 import KEYS, s3_server
from tests.support.seeing import Watch, longest_freeze_s
from tests.support.waiting import until
from worker.storage.journal import SUFFIX, Stage

FPS = 15
MOST_COMPLETING_S = 3
"""Playout delay, encoders, and what is left to upload."""
RTMP_KEYS = ("planted-stream-key-one", "planted-stream-key-two")


@asynccontextmanager
async def fetching(receiver: Receiver, endpoint: str) -> AsyncIterator[dict[str, int]]:
    """Inside, the receiver fetches each completed file before it answers (row C7): its sizes."""
    fetched: dict[str, int] = {}
    async with Bucket.at(endpoint) as bucket:

        async def fetch(request: web.Request) -> web.Response:
            body = await request.json()
            if body["event_type"] == "RECORD_FILE_COMPLETE":
                content = await bucket.get(body["obs_object"])
                fetched[body["obs_object"]] = len(content)
            return web.json_response({"status": 1})

        receiver.answer = fetch
        yield fetched


def whole(recording: Recording, seconds: float, people: int = 2) -> None:
    """All frames are there, decode, and show everybody going on without a gap."""
    assert recording.decode_errors() == ""
    tiles = oracle.gallery(people, 640, 480)
    histories = recording.watch({n: Watch(rect) for n, rect in enumerate(tiles)})
    for history in histories.values():
        # A file begins with the first person there, who may be a frame later than the room.
        assert seconds * FPS - 2 <= len(history.counters) <= seconds * FPS
        seen = history.counters[FPS:]
        assert None not in seen
        assert longest_freeze_s(seen, FPS) <= 0.15


def lag_s(line: Mapping[str, Any]) -> float:
    """How far the store is behind the recording, by a line of progress."""
    return float(next(each["lag_s"] for each in line["outputs"] if each["name"] == "store"))


def command_line(process_id: int) -> str:
    return Path(f"/proc/{process_id}/cmdline").read_text()


@dataclass(frozen=True, slots=True)
class Outage:
    """How long the store is away, and how long the job goes on then."""

    away_s: int
    rest_s: int
    """Row S1: a minute for what has gathered, with waits of up to 30 s before anybody asks."""


@pytest.mark.parametrize(
    "outage",
    [
        pytest.param(Outage(60, 12), id="a minute", marks=pytest.mark.timeout(240)),
        pytest.param(
            Outage(600, 62), id="ten minutes", marks=[pytest.mark.soak, pytest.mark.timeout(1500)]
        ),
    ],
)
async def test_one_job_into_a_bucket_that_is_away_for_a_while_and_live_with_everybody_told(
    tmp_path: Path, outage: Outage
) -> None:
    """MP4, HLS, two RTMP URLs, callbacks; sizes and pictures, order, signatures, secrets."""
    back_s = 3 + outage.away_s
    seconds = back_s + outage.rest_s
    receiver = Receiver(auth_key=AUTH_KEY)
    async with (
        s3_server(tmp_path / "s3") as s3,
        rtmp_server(tmp_path / "rtmp") as rtmp,
        served(receiver),
        fetching(receiver, s3.endpoint) as fetched,
        Bucket.at(s3.endpoint) as bucket,
    ):
        job = delivering(
            tmp_path,
            seconds,
            publish_param={"rtmp_urls": [rtmp.url(key) for key in RTMP_KEYS]},
            callback={"url": receiver.url, "auth_key": AUTH_KEY},
        )
        settings = environment(tmp_path / "spool", s3.endpoint)
        async with worker(job, settings) as recorder:
            await recorder.recorded(3)
            command = command_line(recorder.process.pid)
            s3.freeze()
            await recorder.recorded(back_s)
            s3.thaw()
            await recorder.recorded(seconds - 0.05)
            ended_s = time.monotonic()
            await receiver.heard(4)
            complete_s = time.monotonic() - ended_s
            assert await recorder.ended() == 0, recorder.said
            await receiver.heard(5)
        files = await bucket.download(tmp_path / "bucket")
        assert await bucket.open_uploads() == []
        pushed = [Recording(path) for key in RTMP_KEYS for path in rtmp.received(key)]

    bodies = [call.body for call in receiver.accepted]
    assert all(call.signed for call in receiver.calls)
    assert bodies[-1]["event_type"] == "CLOUD_RECORD_SERVER_OVER"
    for record_format in ("MP4", "HLS"):
        told = [body["event_type"] for body in bodies if body.get("record_format") == record_format]
        assert told == ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE"]
    behind = [line for line in recorder.progress if line["recorded_s"] >= back_s]
    caught_up_s = next(line["recorded_s"] for line in behind if lag_s(line) < 1) - back_s
    print(f"caught up {caught_up_s:.0f} s after the store was back")
    print(f"complete {complete_s:.2f} s after the last of {seconds} s was recorded")
    assert complete_s <= MOST_COMPLETING_S

    completed = of_type(bodies, "RECORD_FILE_COMPLETE")
    assert sorted(fetched) == sorted(body["obs_object"] for body in completed)
    assert all(
        fetched[body["obs_object"]] == body["file_size"]
        for body in completed
        if body["record_format"] == "MP4"
    )
    sizes: dict[str, int] = {body["obs_object"]: body["file_size"] for body in completed}
    (mp4,) = [key for key in files if key.endswith(".mp4")]
    (playlist,) = [key for key in files if key.endswith(".m3u8")]
    assert files[mp4].stat().st_size == sizes[mp4]
    hls = [path for key, path in files.items() if key.endswith((".m3u8", ".ts"))]
    assert sum(path.stat().st_size for path in hls) == sizes[playlist]
    assert "#EXT-X-ENDLIST" in files[playlist].read_text()
    whole(Recording(files[mp4]), seconds)
    whole(Recording(files[playlist]), seconds)

    assert len(pushed) == 2, "one connection each"
    for recording in pushed:
        assert recording.decode_errors() == ""
        assert recording.video.packets >= (seconds - 1) * FPS

    assert list((tmp_path / "spool").iterdir()) == [], "nothing is left to do"
    said = everything_said(tmp_path, recorder.complaints, recorder.progress) + command
    said += "".join(body["detail_message"] for body in bodies if "detail_message" in body)
    for secret in (AUTH_KEY, *RTMP_KEYS, *KEYS, receiver.url):
        assert secret not in said


@pytest.mark.parametrize(
    "seconds",
    [10, pytest.param(600, marks=[pytest.mark.soak, pytest.mark.timeout(1200)])],
)
async def test_objects_are_complete_three_seconds_after_a_stop(
    tmp_path: Path, seconds: int
) -> None:
    receiver = Receiver(auth_key=AUTH_KEY)
    async with (
        s3_server(tmp_path / "s3") as s3,
        served(receiver),
        fetching(receiver, s3.endpoint) as fetched,
    ):
        job = delivering(tmp_path, None, callback={"url": receiver.url, "auth_key": AUTH_KEY})
        settings = environment(tmp_path / "spool", s3.endpoint)
        async with worker(job, settings) as recorder:
            await recorder.recorded(seconds)
            stopped_s = time.monotonic()
            recorder.signal(signal.SIGTERM)
            await receiver.heard(4)
            complete_s = time.monotonic() - stopped_s
            assert await recorder.ended() == 0, recorder.said
    print(f"{seconds} s: read back {complete_s:.2f} s after SIGTERM, {sum(fetched.values())} bytes")
    assert len(fetched) == 2
    assert complete_s <= MOST_COMPLETING_S


class Phase(Enum):
    """What a worker does when it is killed."""

    RECORDING = "recording"
    ENDING = "ending"
    """Told to stop; the last pictures go through the encoder."""
    UPLOADING = "uploading"
    """Its MP4 is closed, and the store does not answer."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a worker is killed."""

    recorded_s: float
    phase: Phase = Phase.RECORDING


MOMENTS = {
    "just begun": Moment(0.8),
    "recording": Moment(4.0),
    "ending": Moment(4.0, Phase.ENDING),
    "uploading": Moment(4.0, Phase.UPLOADING),
}
ENDING_S = 0.5
"""Into the drain, which lasts for a playout delay (0.6 s) and until files are closed."""
ROLLING = {f"rolling over, {at_s} s": Moment(at_s) for at_s in (60.5, 60.7, 60.9, 61.1, 61.3, 62.5)}


def has_closed_mp4(folder: Path) -> bool:
    """Whether a job's MP4 is closed, and nothing is left to do but to store it."""
    sealed = f'"stage": "{Stage.SEALED.value}"'
    return any(sealed in path.read_text() for path in folder.glob(f"*.mp4{SUFFIX}"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "moment",
    [
        *(pytest.param(moment, id=name) for name, moment in MOMENTS.items()),
        *(pytest.param(moment, id=n, marks=pytest.mark.soak) for n, moment in ROLLING.items()),
    ],
)
async def test_a_killed_worker_loses_a_second_and_the_next_one_delivers(
    tmp_path: Path, moment: Moment
) -> None:
    receiver = Receiver(auth_key=AUTH_KEY)
    async with (
        s3_server(tmp_path / "s3") as s3,
        served(receiver),
        fetching(receiver, s3.endpoint) as fetched,
        Bucket.at(s3.endpoint) as bucket,
    ):
        settings = environment(tmp_path / "spool", s3.endpoint)
        callback = {"url": receiver.url, "auth_key": AUTH_KEY}
        job = delivering(tmp_path, 90, callback=callback)
        job["record"]["mp4_config"] = {"record_cycle": 60}
        async with worker(job, settings) as killed:
            await killed.recorded(moment.recorded_s)
            if moment.phase is not Phase.RECORDING:
                # While the store does not answer, the worker cannot have ended.
                s3.freeze()
                killed.signal(signal.SIGTERM)
                await killed.reached("stopped")
                if moment.phase is Phase.ENDING:
                    await asyncio.sleep(ENDING_S)
                else:
                    await until(lambda: has_closed_mp4(tmp_path / "spool" / "job"))
            last_s = killed.progress[-1]["recorded_s"]
            killed.signal(signal.SIGKILL)
            assert await killed.ended() == -signal.SIGKILL
            s3.thaw()
        other = delivering(tmp_path, None, job_id="next")
        other["output"]["name"] = "next"
        async with worker(other, settings) as successor:
            async with asyncio.timeout(60):
                await receiver.heard_of("CLOUD_RECORD_SERVER_OVER")
            await until(lambda: not (tmp_path / "spool" / "job").exists())
            await successor.recorded(1)
            successor.signal(signal.SIGTERM)
            assert await successor.ended() == 0, successor.said
        files = await bucket.download(tmp_path / "bucket")
        assert await bucket.open_uploads() == []
    bodies = [call.body for call in receiver.accepted]
    assert bodies[-1]["event_type"] == "CLOUD_RECORD_SERVER_OVER"
    assert list((tmp_path / "spool").iterdir()) == []
    # Whoever is killed before the answer was noted sends again: the same, under the same id.
    told = {(call.event_id, call.raw) for call in receiver.accepted}
    assert len(told) == len({call.event_id for call in receiver.accepted})
    completed = [json.loads(raw) for _, raw in told if b"RECORD_FILE_COMPLETE" in raw]
    assert len(completed) == len({body["obs_object"] for body in completed})
    kept_s = dict.fromkeys(("MP4", "HLS"), 0.0)
    for body in completed:
        if body["record_format"] == "MP4":
            assert fetched[body["obs_object"]] == body["file_size"]
        recording = Recording(files[body["obs_object"]])
        assert recording.decode_errors() == ""
        kept_s[body["record_format"]] += recording.video.packets / FPS
    # What a progress line says is recorded leaves the encoder a playout delay later.
    is_all = moment.phase is Phase.UPLOADING
    written_s = last_s if is_all else max(0.0, last_s - 0.6)
    print(f"kept {kept_s} s of {written_s:.2f} s")
    assert written_s - kept_s["MP4"] <= 1.0
    assert written_s - kept_s["HLS"] <= 1.0


@pytest.mark.timeout(120)
async def test_keys_that_are_refused_are_told_within_five_seconds_and_the_recording_is_kept(
    tmp_path: Path,
) -> None:
    async with s3_server(tmp_path / "s3") as s3, Bucket.at(s3.endpoint) as bucket:
        wrong = environment(tmp_path / "spool", s3.endpoint, (KEYS[0], "planted-wrong-secret"))
        async with worker(delivering(tmp_path, 8), wrong) as recorder:
            assert await recorder.ended() == 74
        early = [
            line
            for line in recorder.progress
            if line["recorded_s"] <= 5 and any(o["error"] for o in line["outputs"])
        ]
        assert early, "known within five seconds"
        assert "planted-wrong-secret" not in everything_said(
            tmp_path, recorder.complaints, recorder.progress
        )
        assert await recover(environment(tmp_path / "spool", s3.endpoint)) == 0
        files = await bucket.download(tmp_path / "bucket")
    assert len([key for key in files if key.endswith(".mp4")]) == 1
    whole(Recording(next(path for key, path in files.items() if key.endswith(".mp4"))), 8)
    whole(Recording(next(path for key, path in files.items() if key.endswith(".m3u8"))), 8)
