"""The control plane for operators."""

import asyncio
import signal
from pathlib import Path

import typer

from worker.app.control_plane import serve_control_plane
from worker.settings import Settings


async def serve_until_stopped(settings: Settings, config: Path | None) -> None:
    """Serve until SIGINT or SIGTERM. Jobs go on; the next control plane takes them over."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with serve_control_plane(settings, config) as address:
        typer.echo(f"API and dashboard: {address.url}")
        await stopped.wait()
