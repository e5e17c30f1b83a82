"""docker-compose.yml does what its header says: its commands are run as they stand.

Images are stand-ins where they are not ours (`tests.support.compose`), and ports are those of the
file, so nothing else may listen there.
"""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from aiobotocore.session import get_session

from tests.control.worlds import FPS, ROOM, gallery
from tests.support import container
from tests.support.compose import Composed, commands, make_images, ports_in_use
from tests.support.control_plane import PASSWORD, Caller, Tenant, caller, reaches
from tests.support.delivering import CAMERA
from tests.support.docker_engine import docker_engine
from tests.support.live import cast
from tests.support.rehearse import people

API = "http://127.0.0.1:8090"
ROOM_URL = "ws://127.0.0.1:8080/ws"
RTMP = "rtmp://127.0.0.1/live"
BUCKET = "recordings"
RULE = {
    "obs_addr": {"location": "here", "project_id": "p", "bucket": BUCKET, "object": "records/"},
    "record_formats": ["MP4"],
    "mp4_config": {},
}


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    taken = ports_in_use()
    assert not taken, f"docker-compose.yml needs these ports, and somebody listens there: {taken}"
    with docker_engine(tmp_path) as engine:
        composed = Composed(engine, tmp_path / "checkout")
        composed.copy_checkout()
        make_images(engine, composed.directory)
        try:
            yield composed
        finally:
            composed.shell("docker compose down -v -t 5")


@pytest.mark.soak
async def test_who_follows_the_header_has_a_recording_service(
    composed: Composed, tmp_path: Path
) -> None:
    printed = await asyncio.to_thread(composed.shell, "\n".join(commands()), typed=PASSWORD)
    tenant = tenant_of(printed)
    assert PASSWORD not in printed
    secret = (composed.directory / "secrets" / "s3-keys").read_text()
    assert secret.split()[1] not in composed.engine.docker("inspect", *containers(composed))
    assert set(states(composed).values()) == {"running healthy"}, composed.logs()

    async with cast(people(2, defaults=CAMERA), ROOM_URL, ROOM), caller(API, tenant) as call:
        jobs, rule_id = await prepared(call)
        first = await started(call, jobs, rule_id, "first-key")
        await asyncio.to_thread(assert_plays_live, f"{RTMP}/first-key", tmp_path / "live.flv")
        await call("DELETE", first, status=204)
        stopped = await call("GET", first, status=200)
        assert stopped["stop_reason"] == "TENANT_STOP"
        [recording] = await recordings(composed, 1)
        assert_plays(recording, 4.0)

        second = await started(call, jobs, rule_id, "second-key")
        await asyncio.sleep(4)
    await asyncio.to_thread(composed.shell, "docker compose down")
    assert containers(composed) == []
    assert ports_in_use() == []
    # Drained, not killed: everything is in the store before anything else is looked through.
    assert composed.in_volume("spool", "ls -A /look | grep -v '^[.]' || true") == ""
    ends = composed.in_volume("control", "cat /look/workers/*.1")
    assert "exit 0" in ends, ends

    await asyncio.to_thread(composed.shell, "docker compose up -d")
    async with cast(people(2, defaults=CAMERA), ROOM_URL, ROOM), caller(API, tenant) as call:
        assert await call("GET", first, status=200) == stopped
        found = await recordings(composed, 2)
        assert_plays(found[-1], 3.0)
        await reaches(call, second, "RUNNING")
        await asyncio.to_thread(assert_plays_live, f"{RTMP}/second-key", tmp_path / "again.flv")
        await call("DELETE", second, status=204)
        for each in await recordings(composed, 3):
            assert_plays(each, 3.0)
    assert secret.split()[1] not in composed.logs()


def tenant_of(printed: str) -> Tenant:
    """Whom the header's commands have made."""
    account = re.search(r"^(acme)  ([0-9a-f]{32})$", printed, re.MULTILINE)
    keys = dict(re.findall(r"^(AK|SK) (\S+)$", printed, re.MULTILINE))
    assert account is not None and set(keys) == {"AK", "SK"}, printed
    return Tenant(account[1], account[2], keys["AK"], keys["SK"])


def containers(composed: Composed) -> list[str]:
    return composed.engine.docker("ps", "-aq").split()


def states(composed: Composed) -> dict[str, str]:
    facts: list[dict[str, Any]] = json.loads(
        composed.engine.docker("inspect", *containers(composed))
    )
    return {
        each["Name"]: f"{each['State']['Status']} {each['State']['Health']['Status']}"
        for each in facts
    }


async def prepared(call: Caller) -> tuple[str, str]:
    app_id = (await call("POST", "/v2/apps", {"app_name": "composed"}, status=201))["app_id"]
    rule = await call("POST", f"/v2/apps/{app_id}/record-rules", RULE, status=201)
    return f"/v2/apps/{app_id}/mix-stream-jobs", rule["rule_id"]


async def started(call: Caller, jobs: str, rule_id: str, key: str) -> str:
    """The path of a job that runs and is pushed."""
    body = gallery(rule_id) | {"publish_param": {"rtmp_urls": [f"{RTMP}/{key}"]}}
    job = await call("POST", jobs, body, status=201)
    path = f"{jobs}/{job['job_id']}"
    await reaches(call, path, "RUNNING")
    return path


def assert_plays_live(url: str, file: Path) -> None:
    """Five seconds of it, as a viewer sees them, who has to wait for a key frame."""
    subprocess.run(
        [
            *("ffmpeg", "-nostdin", "-v", "error", "-rw_timeout", "20000000"),
            *("-i", url, "-t", "5", "-c", "copy", str(file)),
        ],
        check=True,
        timeout=60,
    )
    facts = container.probe(file)
    assert facts.video is not None and facts.audio is not None
    assert (facts.video.codec, facts.audio.codec) == ("h264", "aac")
    assert facts.video.packets >= 2 * FPS


def assert_plays(content: bytes, seconds: float) -> None:
    with NamedTemporaryFile(suffix=".mp4") as file:
        file.write(content)
        file.flush()
        assert container.decode_errors(Path(file.name)) == ""
        facts = container.probe(Path(file.name))
    assert facts.video is not None and facts.audio is not None
    assert facts.video.packets >= seconds * FPS
    assert facts.audio.duration_s >= seconds


async def recordings(composed: Composed, count: int) -> list[bytes]:
    """The MP4 files in the bucket, once they are so many; in the order in which they came."""
    access_key, secret_key = (composed.directory / "secrets" / "s3-keys").read_text().split()
    async with get_session().create_client(
        "s3",
        endpoint_url="http://127.0.0.1:8333",
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    ) as client:
        async with asyncio.timeout(60):
            while True:
                answer = await client.list_objects_v2(Bucket=BUCKET)
                found = [each for each in answer.get("Contents", []) if each["Key"].endswith("mp4")]
                if len(found) >= count:
                    break
                await asyncio.sleep(0.5)
        assert len(found) == count, found
        files = []
        for each in sorted(found, key=lambda each: each["LastModified"]):
            content = await client.get_object(Bucket=BUCKET, Key=each["Key"])
            async with content["Body"] as body:
                files.append(await body.read())
    return files
