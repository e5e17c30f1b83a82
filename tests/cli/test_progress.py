"""What is shown of a running job: JSON lines for programs, a live view for people."""

import io
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.room import person
from tests.fakes.sink import FakeSink
from tests.support.jobs import SPEC, at, run, stop_at
from worker.cli.console import JsonLines
from worker.cli.live_view import view
from worker.core.lifecycle import State
from worker.engine.job import Job, Progress
from worker.ports import OutputProgress, ParticipantJoined, SinkReport

UPLOADING = OutputProgress(
    "mp4", "uploading", bytes=62_500_000, pending_bytes=5_250_000, lag_s=12.4
)
PUSHING = OutputProgress("rtmp:1", "pushing", bytes=1_000_000)
DOWN = OutputProgress("rtmp:2", "connecting", error="the server refuses the stream")


def now(recorded_s: float, outputs: Sequence[OutputProgress] = (), **changes) -> Progress:
    values = {"state": State.RUNNING, "participants": 3, "frames": round(recorded_s * 30)}
    return Progress(recorded_s=recorded_s, outputs=outputs, **(values | changes))


def lines(*progress: Progress) -> list[dict]:
    out = io.StringIO()
    show = JsonLines(out)
    for each in progress:
        show(each)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def seen(progress: Progress, total_s: float | None = None, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system="standard").print(
        view(progress, total_s)
    )
    return out.getvalue()


def plain(progress: Progress, total_s: float | None = None, width: int = 100) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(view(progress, total_s))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_line_tells_all_about_the_recording_and_its_outputs():
    [line] = lines(now(61.26, [UPLOADING, DOWN]))

    assert line == {
        "state": "running",
        "recorded_s": 61.3,
        "frames": 1838,
        "participants": 3,
        "outputs": [
            {
                "name": "mp4",
                "state": "uploading",
                "bytes": 62_500_000,
                "pending_bytes": 5_250_000,
                "lag_s": 12.4,
                "error": None,
            },
            {
                "name": "rtmp:2",
                "state": "connecting",
                "bytes": 0,
                "pending_bytes": 0,
                "lag_s": 0.0,
                "error": "the server refuses the stream",
            },
        ],
    }


def test_there_is_a_line_each_second_of_recording():
    told = lines(*(now(tenth / 10) for tenth in range(35)))

    assert [line["recorded_s"] for line in told] == [0, 1, 2, 3]


def test_a_change_of_state_is_told_at_once():
    stopped = {"state": State.STOPPED}

    told = lines(
        now(5.0, [PUSHING]),
        now(5.1, [PUSHING]),
        now(5.2, [OutputProgress("rtmp:1", "connecting")]),
        now(5.3, [OutputProgress("rtmp:1", "connecting")], **stopped),
        now(5.3, [OutputProgress("rtmp:1", "done")], **stopped),
        now(5.3, [OutputProgress("rtmp:1", "done")], **stopped),
    )

    assert [(line["recorded_s"], line["state"], line["outputs"][0]["state"]) for line in told] == [
        (5.0, "running", "pushing"),
        (5.2, "running", "connecting"),
        (5.3, "stopped", "connecting"),
        (5.3, "stopped", "done"),
    ]


def test_people_see_a_row_for_each_output():
    head, mp4, pushing, down = plain(now(3725.0, [UPLOADING, PUSHING, DOWN]))

    assert head.split() == ["running", "1:02:05", "3", "people,", "111750", "frames"]
    assert " ".join(mp4.split()) == "mp4 uploading 62.5 MB 12 s behind 5.2 MB to go"
    assert " ".join(pushing.split()) == "rtmp:1 pushing 1.0 MB"
    assert " ".join(down.split()) == "rtmp:2 connecting the server refuses the stream"


def test_trouble_is_coloured():
    red, yellow = "\x1b[31m", "\x1b[33m"

    assert red not in seen(now(60.0, [PUSHING]))
    assert yellow not in seen(now(60.0, [PUSHING]))
    assert red in seen(now(60.0, [DOWN]))
    assert yellow in seen(now(60.0, [UPLOADING]))


def test_a_bar_shows_how_much_is_left_of_a_job_with_an_end():
    assert "━" * 24 in plain(now(30.0), total_s=60)[0]
    assert "━" not in plain(now(30.0))[0]


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_gets_no_more_than_a_screen(width):
    many = [OutputProgress(f"rtmp:{n}", "connecting", error="no route " * 20) for n in range(40)]

    shown = plain(now(60.0, many), width=width)

    assert all(len(line) <= width for line in shown)
    assert len(shown) < 60


def test_markup_in_an_error_is_only_text():
    bad = OutputProgress("mp4", "down", error="[bold]what[/nothing]")

    assert "[bold]what[/nothing]" in plain(now(1.0, [bad]))[1]


class ReportingSink(FakeSink):
    """Says how far it is."""

    def report(self) -> SinkReport:
        return SinkReport(
            self.name,
            "memory",
            len(self.packets),
            bytes=10 * len(self.packets),
            state="uploading",
            pending_bytes=7,
            lag_s=1.5,
        )


def test_a_job_tells_how_its_sinks_are():
    told: list[Progress] = []
    good, dead = ReportingSink("mp4"), FakeSink("rtmp:1", fail_after=10)

    def during(job: Job) -> None:
        at(2.0, lambda job: told.append(job.progress()))(job)
        stop_at(3.0)(job)

    done = run(
        SPEC,
        [(0.0, ParticipantJoined(person("ada")))],
        [good, dead],
        during=during,
    )

    assert done.error is None
    mp4, rtmp = told[0].outputs
    assert (mp4.name, mp4.state, mp4.pending_bytes, mp4.lag_s) == ("mp4", "uploading", 7, 1.5)
    assert mp4.bytes > 0
    assert mp4.error is None
    assert (rtmp.state, rtmp.error) == ("down", "the fake disk is full")


def test_run_draws_on_a_terminal_and_leaves_the_result_on_it(tmp_path: Path):
    job = {
        "room": {"kind": "rehearsal", "scenario": '[[participants]]\nuser_id = "ada"\n'},
        "mix_param": {"room_id": "r", "encode_template": "audio_only"},
        "output": {"directory": str(tmp_path), "name": "job"},
        "max_duration_s": 10,
    }
    (tmp_path / "job.in").write_text(json.dumps(job))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "run", str(tmp_path / "job.in")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(theirs)
    drawn = b""
    while process.poll() is None or select.select([ours], [], [], 0)[0]:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                drawn += os.read(ours, 65536)
            except OSError:  # the other side is closed
                break
    os.close(ours)
    assert process.stdout is not None
    with process.stdout:
        result = process.stdout.read().decode()

    assert process.wait() == 0
    assert result.strip() == str(tmp_path / "job.json")
    text = drawn.decode()
    assert "mp4" in text
    assert "people" in text
    assert "{" not in text
