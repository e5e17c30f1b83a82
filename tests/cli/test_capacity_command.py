"""`mixworker capacity`: an answer for people, one for programs, and refusals by name."""

import json

import pytest
from typer.testing import CliRunner

from worker.cli.commands import app
from worker.cli.exits import Exit


def ask(*arguments: str, text: str | None = None):
    return CliRunner().invoke(app, ["capacity", *arguments], input=text)


def answer(*arguments: str, text: str | None = None) -> dict:
    done = ask(*arguments, "--json", text=text)
    assert done.exit_code == Exit.FINISHED, done.stderr
    return json.loads(done.stdout)


def job(template: str, layout: dict) -> str:
    return json.dumps(
        {
            "room": {"kind": "testroom", "url": "ws://127.0.0.1:9/ws"},
            "mix_param": {"room_id": "demo", "encode_template": template, **layout},
            "output": {"directory": "recordings", "name": "meeting"},
        }
    )


def test_people_read_cores_memory_and_how_many_fit():
    done = ask("--cores", "8", "--memory", "16")

    assert done.exit_code == Exit.FINISHED
    for word in ("9 participants", "cores", "MB", "set aside", "such jobs"):
        assert word in done.stdout


def test_programs_read_the_same_as_json():
    told = answer("--participants", "4", "--cores", "4")

    assert told["participants"] == 4
    assert told["cores"] == pytest.approx(sum(told["cores_by_stage"].values()), abs=0.01)
    assert told["advised_cores"] > told["cores"]
    assert told["jobs"] == int(4 / told["advised_cores"])


def test_memory_alone_can_be_the_limit():
    assert answer("--memory", "0.1")["jobs"] == 0


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (("-n", "4"), ("-n", "9")),
        (("--size", "320x180"), ("--size", "640x360")),
        (("--fps", "15"), ("--fps", "30")),
        (("--template", "1280x720_30_1710"), ("--template", "1920x1080_30_3150")),
        (("--kbps", "500"), ("--kbps", "2000")),
    ],
    ids=lambda words: " ".join(words),
)
def test_more_of_anything_needs_more(less, more):
    assert answer(*less)["cores"] < answer(*more)["cores"]


def test_a_job_document_says_template_and_layout():
    share = {"layout_template": "screen_share_left"}

    told = answer("-", "-n", "4", text=job("640x480_15_500", share))

    assert told["template"] == "640x480_15_500"
    assert (
        told["cores"]
        == answer("-n", "4", "--template", "640x480_15_500", "--layout", "share-left")["cores"]
    )


def test_a_job_of_sound_alone_needs_little():
    told = answer("-", text=job("audio_only", {"layout_template": "nine_grids_view"}))

    assert told["template"] is None
    assert told["cores_by_stage"]["encode"] == 0
    assert told["cores"] < answer()["cores"]


def test_a_load_no_thread_can_carry_is_told():
    assert "receive" in answer("-n", "500", "--size", "320x180")["warning"]
    assert answer("-n", "4")["warning"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        ("--size", "640"),
        ("--size", "0x360"),
        ("--codec", "av1"),
        ("--template", "1x1"),
        ("--layout", "pile"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_wrong_option_is_refused_by_name(wrong):
    done = ask(*wrong)

    assert done.exit_code == Exit.BAD_DOCUMENT
    assert wrong[0] in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
