"""The unit in deploy/systemd is one that systemd understands and that starts what there is."""

import configparser
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli.commands import app
from worker.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "mixworker.service"


@pytest.fixture
def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


def test_it_starts_a_command_of_the_program(
    service: configparser.SectionProxy, tmp_path: Path
) -> None:
    program, option, config, *command = shlex.split(service["ExecStart"])
    assert (Path(program).name, option, Path(config).is_absolute()) == (
        "mixworker",
        "--config",
        True,
    )
    settings = tmp_path / "settings.toml"
    settings.touch()
    arguments = [option, str(settings), *command, "--help"]
    assert CliRunner().invoke(app, arguments).exit_code == 0


def test_workers_outlive_it_and_find_their_files_again(service: configparser.SectionProxy) -> None:
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"
    defaults = Settings()
    # All else is read-only.
    assert service["ProtectSystem"] == "strict"
    assert not any(
        Path(each).is_absolute() for each in (defaults.control.directory, defaults.spool.directory)
    )


@pytest.mark.soak
def test_systemd_has_nothing_to_say_about_it(tmp_path: Path) -> None:
    """Needs Debian's package `systemd`, but not that it runs."""
    unit = tmp_path / UNIT.name
    # It looks for the program, which is not installed here.
    unit.write_text(UNIT.read_text().replace("=/usr/local/bin/mixworker ", "=/bin/true "))
    assert "/bin/true" in unit.read_text()
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
