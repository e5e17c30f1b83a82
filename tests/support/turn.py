"""A TURN server on loopback."""

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.rooms.ice import IceServer

USERNAME, CREDENTIAL = "recorder", "a-turn-credential"
START_S = 5.0
_CONFIGURATION = """
listening-ip=127.0.0.1
relay-ip=127.0.0.1
listening-port={port}
min-port={first_relay_port}
max-port={last_relay_port}
realm=test
user={username}:{credential}
lt-cred-mech
allow-loopback-peers
no-tls
no-dtls
no-cli
simple-log
log-file={directory}/turn.log
pidfile={directory}/turn.pid
userdb={directory}/turn.db
"""


@dataclass(frozen=True)
class TurnServer:
    """A running server; every relayed address is one of `relay_ports`."""

    port: int
    relay_ports: range
    log: Path

    def over(self, transport: str) -> IceServer:
        """How to reach it over "udp" or "tcp"."""
        url = f"turn:127.0.0.1:{self.port}?transport={transport}"
        return IceServer(url, USERNAME, CREDENTIAL)


@asynccontextmanager
async def turn_server(directory: Path) -> AsyncIterator[TurnServer]:
    """A coturn of the test's own, until the context is left."""
    program = shutil.which("turnserver")
    assert program is not None, "coturn is not installed"
    port, first_relay_port = _free_port(), _free_port()
    relay_ports = range(first_relay_port, min(first_relay_port + 200, 65_000))
    configuration = directory / "turnserver.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            port=port,
            first_relay_port=relay_ports.start,
            last_relay_port=relay_ports.stop - 1,
            username=USERNAME,
            credential=CREDENTIAL,
            directory=directory,
        )
    )
    process = await asyncio.create_subprocess_exec(
        program,
        *("-c", str(configuration)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(START_S):
            await _listens(port)
        yield TurnServer(port, relay_ports, directory / "turn.log")
    finally:
        process.kill()
        await process.wait()


async def _listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
