"""What docker-compose.yml says of the program is true of it; `test_compose.py` runs it."""

import re

import pytest
from typer.testing import CliRunner

from tests.support.compose import PORTS, REPOSITORY, commands, header, services
from worker.cli.commands import app
from worker.settings import Settings, load_settings

OURS = ("room", "control-plane")


def settings_of(service: str) -> Settings:
    return load_settings(None, services()[service].get("environment", {}))


def test_every_variable_is_a_setting() -> None:
    variables = services()["control-plane"]["environment"]
    assert all(re.fullmatch(r"MIXWORKER_[A-Z]+__[A-Z_]+", name) for name in variables)
    settings_of("control-plane")  # refuses keys that it does not know


def test_the_settings_lead_to_the_services() -> None:
    settings = settings_of("control-plane")
    room_port = services()["room"]["command"][-1]
    assert settings.rooms.url == f"ws://127.0.0.1:{room_port}/ws"
    [script] = services()["s3"]["command"]
    assert (
        settings.storage.endpoint == "http://127.0.0.1:" + re.findall(r"-s3\.port=(\d+)", script)[0]
    )
    [secret] = services()["control-plane"]["secrets"]
    assert settings.storage.keys_file == f"/run/secrets/{secret}"
    targets = {volume.split(":")[1] for volume in services()["control-plane"]["volumes"]}
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    assert settings.control.directory in targets
    assert re.findall(r"MIXWORKER_SPOOL__DIRECTORY=(\S+)", dockerfile)[0] in targets
    # Docker gives a new volume the owner of the folder that the image has in its place.
    assert targets <= set(re.findall(r"/\S+", re.findall(r"install -d (.*)", dockerfile)[0]))


def test_the_header_names_the_ports_that_are_served() -> None:
    told = {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", header())}
    served = {8333, settings_of("control-plane").api.port, int(services()["room"]["command"][-1])}
    assert told == served and served < set(PORTS)
    configuration = (REPOSITORY / "deploy" / "rtmp.conf").read_text()
    assert "rtmp://127.0.0.1/live/" in header()
    assert "listen 127.0.0.1:1935;" in configuration and "application live {" in configuration


@pytest.mark.parametrize("service", OURS)
def test_the_commands_are_ones_of_the_program(service: str) -> None:
    assert CliRunner().invoke(app, [*services()[service]["command"], "--help"]).exit_code == 0


def test_the_commands_of_the_header_are_ones_of_the_program() -> None:
    ours = [
        line.partition("#")[0].split("mixworker ", 1)[1].split()
        for line in commands()
        if line.startswith("docker compose exec control-plane mixworker ")
    ]
    assert [words[:2] for words in ours] == [["account", "add"], ["account", "key"]]
    for words in ours:
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0


def test_the_control_plane_has_the_time_that_its_workers_take() -> None:
    from worker.app.launching import MORE_GRACE_S

    assert "--drain" in services()["control-plane"]["command"]
    grace_s = int(services()["control-plane"]["stop_grace_period"].removesuffix("s"))
    assert grace_s > settings_of("control-plane").stop.grace_s + MORE_GRACE_S


@pytest.mark.parametrize("name", list(services()))
def test_every_service_is_watched_restarted_and_of_a_known_version(name: str) -> None:
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "build" in service or re.search(r":.*\d", service["image"])
    for other, how in service.get("depends_on", {}).items():
        assert other in services() and how == {"condition": "service_healthy"}
