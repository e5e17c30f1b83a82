"""Metrics and health over real sockets."""

import re
import socket
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from worker.core.lifecycle import State
from worker.errors import InvalidField
from worker.metrics.job import JobNumbers
from worker.metrics.server import serve_metrics
from worker.ports import OutputProgress

NUMBERS = JobNumbers(
    state=State.RUNNING,
    recorded_s=61.5,
    participants=3,
    playout_delay_s=0.6,
    frames=1845,
    late_frames=2,
    repeated_frames=1,
    left_out_frames=15,
    datagrams_dropped=4,
    packets_lost=5,
    packets_recovered=6,
    outputs=[
        OutputProgress("mp4", "uploading", bytes=1000, pending_bytes=50, lag_s=2.5),
        OutputProgress("rtmp:1", "connecting", error="rtmp://host/app/canary-stream-key"),
    ],
    callbacks_pending=7,
)


def served(numbers: JobNumbers = NUMBERS) -> AbstractAsyncContextManager[int]:
    return serve_metrics(0, lambda: numbers)


async def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        return response.status, await response.text()


def values(text: str) -> dict[str, float]:
    """Every sample by its name and labels; each name is explained and typed once before."""
    found: dict[str, float] = {}
    announced: set[str] = set()
    for line in text.splitlines():
        if announcement := re.fullmatch(r"# TYPE (\w+) (gauge|counter)", line):
            assert announcement[1] not in announced
            assert announcement[1].endswith("_total") == (announcement[2] == "counter")
            announced.add(announcement[1])
        elif not line.startswith("# HELP "):
            sample = re.fullmatch(r'((\w+)(?:\{(?:\w+="[^"]*",?)*\})?) (\S+)', line)
            assert sample is not None, line
            assert sample[2] in announced
            assert sample[1] not in found
            found[sample[1]] = float(sample[3])
    return found


async def test_a_scraper_gets_every_number():
    async with served() as port:
        status, text = await get(port, "/metrics")

    assert status == 200
    found = values(text)
    assert found.pop("process_cpu_seconds_total") > 0
    assert 10e6 < found.pop("process_resident_memory_bytes") < 64e9
    assert found == {
        'mixworker_job_state{state="init"}': 0,
        'mixworker_job_state{state="running"}': 1,
        'mixworker_job_state{state="stopped"}': 0,
        "mixworker_recorded_seconds_total": 61.5,
        "mixworker_participants": 3,
        "mixworker_playout_delay_seconds": 0.6,
        "mixworker_frames_total": 1845,
        "mixworker_late_frames_total": 2,
        "mixworker_repeated_frames_total": 1,
        "mixworker_left_out_frames_total": 15,
        "mixworker_datagrams_dropped_total": 4,
        "mixworker_packets_lost_total": 5,
        "mixworker_packets_recovered_total": 6,
        'mixworker_output_state{output="mp4",state="uploading"}': 1,
        'mixworker_output_state{output="rtmp:1",state="connecting"}': 1,
        'mixworker_output_up{output="mp4"}': 1,
        'mixworker_output_up{output="rtmp:1"}': 0,
        'mixworker_output_lag_seconds{output="mp4"}': 2.5,
        'mixworker_output_lag_seconds{output="rtmp:1"}': 0,
        'mixworker_output_pending_bytes{output="mp4"}': 50,
        'mixworker_output_pending_bytes{output="rtmp:1"}': 0,
        'mixworker_output_bytes_total{output="mp4"}': 1000,
        'mixworker_output_bytes_total{output="rtmp:1"}': 0,
        "mixworker_callbacks_pending": 7,
        "mixworker_callbacks_given_up_total": 0,
    }


async def test_no_secret_gets_into_a_label():
    odd = [
        OutputProgress("rtmp://host/app/canary", "pushing canary/key"),
        OutputProgress("Ada Canary", 'x"} 1\ncanary 1'),
        OutputProgress("", ""),
    ]
    async with served(replace(NUMBERS, outputs=[*NUMBERS.outputs, *odd[:1]])) as port:
        _, first = await get(port, "/metrics")
    async with served(replace(NUMBERS, outputs=odd[1:])) as port:
        _, second = await get(port, "/metrics")

    assert "canary" not in (first + second).lower()
    assert values(second)['mixworker_output_state{output="output-1",state="other"}'] == 1
    assert values(second)['mixworker_output_state{output="output-2",state="other"}'] == 1


async def test_there_are_never_more_than_so_many_outputs():
    many = [OutputProgress(f"rtmp:{number}", "pushing") for number in range(500)]

    async with served(replace(NUMBERS, outputs=many)) as port:
        _, text = await get(port, "/metrics")

    assert sum("mixworker_output_up{" in name for name in values(text)) == 32


async def test_health_is_an_answer():
    async with served() as port:
        status, text = await get(port, "/healthz")

    assert status == 200
    assert text == '{"status": "ok", "state": "running"}'


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
async def test_a_foreign_name_is_refused(host):
    async with served() as port:
        status, text = await get(port, "/metrics", Host=host)

    assert status in (400, 403)
    assert "mixworker" not in text


@pytest.mark.parametrize("host", ["localhost", "localhost:9090", "127.0.0.1", "[::1]:9090"])
async def test_names_of_this_machine_are_answered(host):
    async with served() as port:
        assert (await get(port, "/metrics", Host=host))[0] == 200


async def test_nothing_listens_beyond_loopback_and_nothing_afterwards():
    async with served() as port:
        listening = _listening(port)
    assert listening == {"0100007F"}
    assert _listening(port) == set()


async def test_a_port_that_is_taken_is_named():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidField) as refused:
            async with serve_metrics(port, lambda: NUMBERS):
                pass

    assert str(refused.value) == f"metrics.port: {port} cannot be had: Address already in use"


def _listening(port: int) -> set[str]:
    """Local addresses (hexadecimal, as the kernel writes them) that listen on *port*."""
    rows = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows += [line.split() for line in Path(table).read_text().splitlines()[1:]]
    return {
        row[1].split(":")[0]
        for row in rows
        if row[3] == "0A" and int(row[1].split(":")[1], 16) == port
    }
