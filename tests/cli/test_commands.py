"""The command line on bad input: one line that names the field, an exit code, never a traceback."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from worker.cli.commands import app
from worker.cli.exits import Exit
from worker.errors import RoomRefused

GOOD = {
    "room": {"kind": "testroom", "url": "ws://127.0.0.1:9/ws"},
    "mix_param": {
        "room_id": "demo",
        "encode_template": "640x480_15_500",
        "layout_template": "nine_grids_view",
    },
    "output": {"directory": "recordings", "name": "meeting"},
}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, text: str | bytes | None = None):
    return CliRunner().invoke(app, list(arguments), input=text)


def changed(path: str, value: object) -> str:
    """GOOD with the field at *path* (dots between) set to *value*."""
    document = json.loads(json.dumps(GOOD))
    *parents, key = path.split(".")
    target = document
    for parent in parents:
        target = target[parent]
    target[key] = value
    return json.dumps(document)


BAD = {
    "not json": ("{", "document"),
    "an array": ("[]", "document"),
    "nothing": ("", "document"),
    "not a number": ('{"room": NaN}', "room"),
    "unknown template": (changed("mix_param.encode_template", "1x1_1_1"), "encode_template"),
    "unknown layout": (changed("mix_param.layout_template", "ten_grids"), "layout_template"),
    "idle too short": (changed("mix_param.max_idle_time", 4), "mix_param.max_idle_time"),
    "idle as text": (changed("mix_param.max_idle_time", "30"), "mix_param.max_idle_time"),
    "room url of another kind": (changed("room.url", "http://127.0.0.1/"), "room.url"),
    "unknown room": (changed("room.kind", "zoom"), "room"),
    "name that climbs": (changed("output.name", "../x"), "output.name"),
    "unknown key": (changed("colour", "red"), "colour"),
    "no room id": (changed("mix_param.room_id", ""), "mix_param.room_id"),
    "delay out of range": (changed("playout_delay_ms", 5), "playout_delay_ms"),
}


@pytest.mark.parametrize(("document", "field"), BAD.values(), ids=BAD.keys())
def test_a_bad_document_is_refused_by_name_before_anything_is_touched(here, document, field):
    done = run("run", "-", text=document)

    assert done.exit_code == Exit.BAD_DOCUMENT
    assert field in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert list(here.iterdir()) == []


def test_a_scenario_that_is_wrong_is_a_bad_document(here):
    document = changed("room", {"kind": "rehearsal", "scenario": "[[participants]]\ncolour = 99"})

    done = run("run", "-", text=document)

    assert done.exit_code == Exit.BAD_DOCUMENT
    assert "participants" in done.stderr
    assert list(here.iterdir()) == []


def test_a_document_that_is_not_there_is_named(here):
    done = run("run", "missing.json")

    assert done.exit_code == Exit.BAD_DOCUMENT
    assert "missing.json" in done.stderr


def test_a_recording_is_never_overwritten(here):
    (here / "recordings").mkdir()
    (here / "recordings" / "meeting.mp4").write_bytes(b"precious")

    done = run("run", "-", text=json.dumps(GOOD))

    assert done.exit_code == Exit.DESTINATION
    assert (here / "recordings" / "meeting.mp4").read_bytes() == b"precious"


def test_an_output_directory_that_cannot_be_made_is_a_destination_error(here):
    (here / "recordings").write_text("a file")

    done = run("run", "-", text=json.dumps(GOOD))

    assert done.exit_code == Exit.DESTINATION
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_room_that_cannot_be_reached_says_so(here, monkeypatch):
    monkeypatch.setenv("MIXWORKER_ROOM__CONNECT_TIMEOUT_S", "0.5")

    done = run("run", "-", text=json.dumps(GOOD))

    assert done.exit_code == Exit.ROOM_UNAVAILABLE
    result = json.loads((here / "recordings" / "meeting.json").read_text())
    assert result["reason"] == "room_lost"
    assert result["error"]


def test_a_cast_that_is_refused_says_so_in_one_line(here, monkeypatch):
    async def refused(*_: object, **__: object) -> None:
        raise RoomRefused("this room needs a token")

    monkeypatch.setattr("worker.cli.room.run_cast", refused)
    scenario = '[[participants]]\nuser_id = "ada"\n'

    done = run("cast", "-", "--url", "ws://127.0.0.1:9/ws", text=scenario)

    assert done.exit_code == Exit.ROOM_REFUSED
    assert done.stderr == "mixworker: this room needs a token\n"


def test_an_unknown_setting_is_named(here):
    (here / "worker.toml").write_text("[video]\nspeed = 9\n")

    done = run("--config", "worker.toml", "preview", "x.json")

    assert done.exit_code == Exit.BAD_DOCUMENT
    assert "video.speed" in done.stderr


def test_preview_draws_the_layout_for_so_many_people(here):
    (here / "job.json").write_text(json.dumps(GOOD))

    done = run("preview", "job.json", "-n", "7", "-o", "layout.png")

    assert done.exit_code == 0, done.output
    with Image.open(here / "layout.png") as picture:
        assert picture.size == (640, 480)
        # Seven people on a grid of three by three: the last two places are empty.
        empty = [picture.getpixel((x, 400)) for x in (320, 560)]
        taken = [picture.getpixel((x, y)) for x in (20, 240, 460) for y in (20, 180)]
    assert all(max(pixel) < 20 for pixel in empty)
    assert all(max(pixel) > 30 for pixel in taken)


def test_preview_of_an_audio_only_job_is_refused(here):
    done = run("preview", "-", text=changed("mix_param.encode_template", "audio_only"))

    assert done.exit_code == Exit.BAD_DOCUMENT


def test_the_version_is_printed():
    done = run("--version")

    assert done.exit_code == 0
    assert done.stdout.startswith("mixworker ")
