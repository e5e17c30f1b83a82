"""The test room for people, and the synthetic participants that may join one."""

import asyncio
import signal
import sys
from pathlib import Path

import typer

from worker.errors import InvalidField, WorkerError
from worker.testroom.publisher import run_cast
from worker.testroom.scenario import Scenario
from worker.testroom.scenario_file import parse_scenario
from worker.testroom.server import serve_room


async def serve_until_stopped(
    *,
    host: str,
    port: int,
    token_file: Path | None,
    admin_token_file: Path | None,
    scenario: Path | None,
) -> None:
    """Serve the room until SIGINT or SIGTERM."""
    token = None if token_file is None else _read(token_file).strip()
    admin_token = None if admin_token_file is None else _read(admin_token_file).strip()
    cast = None if scenario is None else parse_scenario(_read(scenario))
    stopped = _stop_signal()
    async with serve_room(
        host, port, token=token, admin_token=admin_token, allow_remote=token is not None
    ) as address:
        typer.echo(f"page:      {address.page_url}")
        typer.echo(f"signalling: {address.ws_url}")
        typer.echo("Ctrl-C ends it.")
        if cast is None:
            await stopped.wait()
        else:
            await _perform(cast, address.ws_url, "demo", stopped)


async def cast_scenario(scenario: Path, url: str, room_id: str) -> None:
    """Let a scenario's people join; prints "ready" when those of the first moment are in."""
    await _perform(parse_scenario(_read(scenario)), url, room_id, _stop_signal())


async def _perform(scenario: Scenario, url: str, room_id: str, stopped: asyncio.Event) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            cast = group.create_task(
                run_cast(scenario, url=url, room_id=room_id, on_ready=lambda: typer.echo("ready"))
            )
            await stopped.wait()
            cast.cancel()
    except* WorkerError as failures:
        failure: BaseException = failures.exceptions[0]
    else:
        return
    raise failure


def _stop_signal() -> asyncio.Event:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    return stopped


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidField(str(path), "cannot be read") from exc
