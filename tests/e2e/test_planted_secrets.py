"""Twelve secrets, planted where operators and tenants put them, are found nowhere else."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.delivering import AUTH_KEY, delivering
from tests.support.live import ROOM, Worker, live_room, worker
from tests.support.receiver import Receiver, served, status
from tests.support.rehearse import people
from tests.support.rtmp import free_port, make_certificate, rtmp_server, tls_front
from tests.support.s3 import KEYS, s3_server
from tests.support.s3_faults import Faults, fault_proxy
from tests.support.turn import CREDENTIAL, USERNAME, turn_server

TWO = people(
    2, defaults="[defaults.camera]\nwidth = 320\nheight = 180\nfps = 15\nbitrate_kbps = 200\n"
)
SECONDS = 9
SECRETS = {
    "S3 access key": KEYS[0],
    "S3 secret key": KEYS[1],
    "S3 encryption key": "planted-encryption-key",
    "callback key": AUTH_KEY,
    "callback address": "planted-callback-token",
    "RTMP key": "planted-stream-key-one",
    "RTMP key, refused": "planted-stream-key-two",
    "RTMPS query": "planted-stream-token",
    "TURN credential": CREDENTIAL,
    "Janus pin": "planted-pin",
    "Janus API secret": "planted-api-secret",
    "user name and password": "planted-password",
}
assert len(set(SECRETS.values())) == 12
TENANTS = {SECRETS["callback key"], SECRETS["callback address"]}
"""What the spool must keep to be able to call back after a crash."""
CONFIG = """
[log]
level = "debug"
[ice]
servers = ["turn:127.0.0.1:{turn_port}?transport=udp"]
username = "{username}"
credential_file = "{directory}/turn-credential"
relay_only = true
[room]
connect_timeout_s = 5
[spool]
directory = "{directory}/spool"
floor_mb = 16
[storage]
endpoint = "{endpoint}"
keys_file = "{directory}/s3-keys"
encryption_key_id = "{encryption_key}"
[net]
allow = ["127.0.0.0/8", "::1/128"]
ca_file = "{ca_file}"
[metrics]
port = {metrics_port}
"""


def found(text: str) -> set[str]:
    """Names of the secrets in *text*."""
    return {name for name, secret in SECRETS.items() if secret in text}


def seen_by_others(process_id: int) -> Iterator[str]:
    """What the machine's process list and `/proc` tell of a process and all its descendants."""
    directory = Path(f"/proc/{process_id}")
    for name in ("cmdline", "environ"):
        yield (directory / name).read_bytes().replace(b"\0", b" ").decode(errors="replace")
    for task in (directory / "task").iterdir():
        yield (task / "comm").read_text()
        for child in (task / "children").read_text().split():
            yield from seen_by_others(int(child))


def keepers(spool: Path) -> dict[str, tuple[set[str], int]]:
    """Files in the spool that hold secrets: which, and who may read them."""
    told = {}
    for path in spool.rglob("*"):
        if path.is_file() and (names := found(path.read_bytes().decode(errors="replace"))):
            told[path.name] = (names, path.stat().st_mode & 0o777)
    return told


async def scraped(port: int) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as answer,
    ):
        assert answer.status == 200
        return await answer.text()


def written(recorder: Worker) -> str:
    """Log, progress and result."""
    result = recorder.directory / f"{recorder.name}.json"
    texts = [*recorder.complaints, json.dumps(recorder.progress)]
    return "\n".join([*texts, result.read_text() if result.exists() else ""])


def settings_file(directory: Path, **values: object) -> Path:
    """Settings whose keys are in files of their own."""
    for name, text in (("turn-credential", CREDENTIAL), ("s3-keys", " ".join(KEYS))):
        path = directory / name
        path.write_text(text)
        path.chmod(0o400)
    path = directory / "worker.toml"
    values |= {"directory": directory, "username": USERNAME}
    path.write_text(
        CONFIG.format(encryption_key=SECRETS["S3 encryption key"], **values), encoding="utf-8"
    )
    return path


@pytest.mark.timeout(180)
async def test_a_whole_job_with_all_kinds_of_trouble_tells_nobody(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    metrics_port = free_port()
    receiver = Receiver(auth_key=AUTH_KEY, answer=status(500))
    async with (
        s3_server(tmp_path / "s3") as s3,
        fault_proxy(s3.endpoint) as proxy,
        rtmp_server(tmp_path / "rtmp") as rtmp,
        tls_front(rtmp.port, certificate, key) as front,
        turn_server(tmp_path) as turn,
        served(receiver),
        live_room(TWO) as url,
    ):
        config = settings_file(
            tmp_path,
            endpoint=proxy.endpoint,
            ca_file=certificate,
            metrics_port=metrics_port,
            turn_port=turn.port,
        )
        proxy.faults = Faults(status=500, share=0.3)
        job = delivering(
            tmp_path,
            SECONDS,
            room={"kind": "testroom", "url": url},
            publish_param={
                "rtmp_urls": [
                    rtmp.url(SECRETS["RTMP key"]),
                    rtmp.url(SECRETS["RTMP key, refused"], app="denied"),
                    f"rtmps://localhost:{front}/live/x?token={SECRETS['RTMPS query']}",
                    f"rtmps://127.0.0.1:{front}/live/{SECRETS['RTMPS query']}",
                    f"rtmp://10.1.2.3/live/{SECRETS['RTMP key']}",
                ]
            },
            callback={
                "url": f"{receiver.url}?token={SECRETS['callback address']}",
                "auth_key": AUTH_KEY,
            },
        )
        job["mix_param"]["room_id"] = ROOM
        async with worker(job, config=config) as recorder:
            await recorder.recorded(4)
            visible = "\n".join(seen_by_others(recorder.process.pid))
            kept = keepers(tmp_path / "spool")
            metrics = await scraped(metrics_port)
            receiver.answer = None
            await recorder.recorded(SECONDS - 1)
            metrics += await scraped(metrics_port)
            code = await recorder.ended()
        assert rtmp.received(SECRETS["RTMP key"]), "the keys were used"
        assert rtmp.received("x")
        assert proxy.count("PUT") > 5
        assert receiver.accepted
        assert all(call.signed for call in receiver.calls)

    # The failing pushes are told; the recording is stored.
    outputs = {output["name"]: output for output in recorder.result["outputs"]}
    assert code != 0
    assert outputs["record-mp4"]["error"] is None, written(recorder)
    assert outputs["rtmp-2"]["error"]
    assert "certificate" in outputs["rtmp-4"]["error"]
    assert "may not be called" in outputs["rtmp-5"]["error"]
    assert "answered 500" in json.dumps(recorder.progress)
    assert any(" DEBUG " in line for line in recorder.complaints)

    assert found(written(recorder)) == set()
    assert found(visible) == set()
    assert found(metrics) == set()
    events = "\n".join(f"{call.raw.decode()}{call.headers}" for call in receiver.calls)
    assert found(events) == set()
    assert {name for names, _ in kept.values() for name in names} <= {
        name for name, secret in SECRETS.items() if secret in TENANTS
    }
    assert {mode for _, mode in kept.values()} == {0o600}
    assert kept and keepers(tmp_path / "spool") == {}


@asynccontextmanager
async def repeating_janus() -> AsyncIterator[str]:
    """A server that refuses everything and says what, word for word."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["janus-protocol"])
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            error = {"code": 403, "reason": f"refused: {message.data}"}
            await socket.send_json(
                {"janus": "error", "transaction": asked["transaction"], "error": error}
            )
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_janus_that_repeats_what_it_was_asked_is_not_repeated(tmp_path: Path) -> None:
    async with repeating_janus() as url:
        job = delivering(tmp_path, 5)
        del job["record"]
        job["room"] = {
            "kind": "janus",
            "url": url,
            "room": 1234,
            "pin": SECRETS["Janus pin"],
            "token": SECRETS["Janus pin"],
            "api_secret": SECRETS["Janus API secret"],
        }
        settings = {"MIXWORKER_LOG__LEVEL": "debug", "MIXWORKER_ROOM__CONNECT_TIMEOUT_S": "3"}
        async with worker(job, settings) as recorder:
            assert await recorder.ended() in (69, 77)
    assert any(" DEBUG " in line for line in recorder.complaints)
    assert found(written(recorder)) == set()


def with_password(place: str) -> Mapping[str, Any]:
    secret = SECRETS["user name and password"]
    return {
        "rtmp": {"publish_param": {"rtmp_urls": [f"rtmp://user:{secret}@127.0.0.1/live/key"]}},
        "callback": {
            "callback": {"url": f"http://user:{secret}@127.0.0.1/", "auth_key": AUTH_KEY},
        },
        "room": {"room": {"kind": "testroom", "url": f"ws://user:{secret}@127.0.0.1/ws"}},
    }[place]


@pytest.mark.parametrize("place", ["rtmp", "callback", "room"])
async def test_a_document_with_a_password_is_refused_without_repeating_it(
    tmp_path: Path, place: str
) -> None:
    job = {**delivering(tmp_path, 5), **with_password(place)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "run", "-"),
        env=os.environ | {"MIXWORKER_LOG__LEVEL": "debug"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate(json.dumps(job).encode())
    assert process.returncode == 64, told
    assert found(told.decode()) == set()
