"""The control plane for operators."""

import asyncio
import signal
from pathlib import Path

import typer

from worker.app.control_plane import serve_control_plane
from worker.settings import Settings


async def serve_until_stopped(settings: Settings, config: Path | None, *, drains: bool) -> None:
    """Serve until SIGINT or SIGTERM. Workers go on, unless it *drains*; jobs do in any case."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve_control_plane(settings, config, drains=drains) as address:
        typer.echo(f"API and dashboard: {address.url}")
        await stopped.wait()
