"""Whoever follows the walkthrough gets what it promises: its commands are run as they stand."""

import asyncio
import json
import os
import re
import signal
import sys
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from tests.support.browser import CHROMIUM
from tests.support.control_plane import workers_of
from tests.support.delivering import of_type
from tests.support.look import Recording
from tests.support.rtmp import free_port
from tests.support.s3 import BUCKET, KEYS, s3_server
from tests.support.seeing import mean_colour
from worker.core.layout.geometry import Rect

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs" / "walkthrough.md"
LOWER_RIGHT = Rect(320, 240, 320, 240)
WITHIN_S = 120
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--mute-audio",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
"""A browser without a screen, with a camera that shows a moving picture."""


def commands() -> str:
    """All blocks of the document that are meant for a shell."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert {language for language, _ in fences} == {"sh"}, "what is not run may be wrong"
    return "\n".join(block for _, block in fences)


@pytest.mark.timeout(180)
async def test_every_command_of_the_walkthrough_does_what_it_says(tmp_path: Path) -> None:
    here, chromium = tmp_path / "here", tmp_path / "chromium"
    spool = {"MIXWORKER_SPOOL__DIRECTORY": str(here / "spool"), "MIXWORKER_SPOOL__FLOOR_MB": "16"}
    async with s3_server(tmp_path / "s3") as s3:
        variables = {
            "HERE": str(here),
            "API_PORT": str(free_port()),
            "ROOM_PORT": str(free_port()),
            "HOOK_PORT": str(free_port()),
            "S3": s3.endpoint,
            "BUCKET": BUCKET,
            "S3_KEY": KEYS[0],
            "S3_SECRET": KEYS[1],
            "BROWSER": " ".join([str(CHROMIUM), f"--user-data-dir={chromium}", *FLAGS]),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "no_proxy": "127.0.0.1",
        }
        shell = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", commands()),
            env=os.environ | variables | spool,
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        assert shell.stdout is not None
        try:
            async with asyncio.timeout(WITHIN_S):
                # Not until its end: what it started in the background has the same output.
                printed = await shell.stdout.read()
                await shell.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            for pid in workers_of(spool):
                os.kill(pid, signal.SIGKILL)
            await shell.wait()
    logs = {path.name: path.read_text(errors="replace") for path in here.glob("*.log")}
    assert shell.returncode == 0, (printed.decode(), logs)

    assert json.loads((here / "stopped.json").read_text())["stop_reason"] == "TENANT_STOP"
    told = [json.loads(line) for line in (here / "callbacks").read_text().splitlines()]
    assert [body["event_type"] for body in told] == [
        "RECORD_NEW_FILE_START",
        "RECORD_FILE_COMPLETE",
        "CLOUD_RECORD_SERVER_OVER",
    ]
    [complete] = of_type(told, "RECORD_FILE_COMPLETE")
    assert f'"file_name":"{complete["obs_object"]}"' in printed.decode()
    assert_layout_changed(Recording(here / "meeting.mp4"))


def assert_layout_changed(recording: Recording) -> None:
    """The camera fills the lower right quarter first; then nobody is there."""
    assert recording.decode_errors() == ""
    colours = [
        mean_colour(planes, LOWER_RIGHT)
        for start_s in (2.5, recording.video.packets / recording.fps - 1)
        for planes in islice(recording.frames(start_s=start_s), 1)
    ]
    differences = [abs(before - after) for before, after in zip(*colours, strict=True)]
    assert max(differences) > 30, colours
