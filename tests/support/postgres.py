"""A real PostgreSQL in a directory of its own, reached by a Unix socket and a loopback port."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.frozen import freeze, thaw

READY_WITHIN_S = 60.0
PASSWORD = "test-password-of-the-database"
_OWNER = "postgres"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where a running server is, and its first process."""

    programs: Path
    sockets: Path
    port: int
    process_id: int

    def url(self, database: str) -> str:
        return f"postgresql://{_OWNER}@/{database}?host={self.sockets}&port={self.port}"

    def url_with_password(self, database: str) -> str:
        return f"postgresql://{_OWNER}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """What the server's own client prints for *statement*."""
        return subprocess.run(
            [
                *(self.programs / "psql", "-h", self.sockets, "-p", str(self.port)),
                *("-U", _OWNER, "-d", database, "-XAtq", "-v", "ON_ERROR_STOP=1"),
                *("-c", statement),
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def freeze(self) -> None:
        """Stop the server and all its sessions, as if the machine were gone."""
        for process_id in self._processes():
            freeze(process_id)

    def thaw(self) -> None:
        for process_id in self._processes():
            thaw(process_id)

    def _processes(self) -> list[int]:
        return [self.process_id, *_children(self.process_id)]


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start one that trusts its socket and asks for a password on its port; end it on leaving.

    What it has acknowledged does not survive a crash of the machine: nothing is synced.
    """
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=_version)
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    data = folder / "data"
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if os.getuid() == 0:
        for path in (folder, folder / "password"):
            shutil.chown(path, _OWNER, _OWNER)
    try:
        subprocess.run(
            [
                *(*_as_owner(), programs / "initdb", "-D", data, "-U", _OWNER),
                *("--auth-local=trust", "--auth-host=scram-sha-256"),
                *("--pwfile", folder / "password"),
                *("--no-sync", "--no-locale", "--encoding=UTF8"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": 60,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*_as_owner(), programs / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        server = PostgresServer(programs, folder, port, process.pid)
        try:
            _await_ready(server, process)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # "immediate": there is nothing to save
            process.wait()
    finally:
        shutil.rmtree(folder)


def _as_owner() -> list[str]:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return []
    return ["setpriv", f"--reuid={_OWNER}", f"--regid={_OWNER}", "--init-groups"]


def _version(programs: Path) -> int:
    return int(programs.parent.name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_ready(server: PostgresServer, process: subprocess.Popen[bytes]) -> None:
    question = [server.programs / "pg_isready", "-q", "-h", server.sockets, "-p", str(server.port)]
    deadline = time.monotonic() + READY_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        if subprocess.run(question, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise RuntimeError((server.sockets / "log").read_text(encoding="utf-8", errors="replace"))


def _children(process_id: int) -> list[int]:
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii")
    return [int(number) for number in listed.split()]
