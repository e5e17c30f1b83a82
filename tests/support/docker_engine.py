"""A real Docker engine of the test's own: a private socket, no bridge, no firewall rules."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_WITHIN_S = 30.0
WORKER_UID = 10001

REPOSITORY = Path(__file__).parents[2]
BARE_IMAGE = "bare:test"
BASE_IMAGE = "python:3.11-slim-bookworm"
HOST_PATHS = ("/usr", sys.base_prefix, str(REPOSITORY))
"""What the bare image borrows from this machine: its libraries, interpreter and this project."""


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """A running engine."""

    url: str
    directory: Path

    def docker(self, *arguments: str, standard_input: bytes = b"") -> str:
        """What the command-line client prints, which shares no code with the worker's."""
        done = subprocess.run(
            ["docker", "-H", self.url, *arguments],
            input=standard_input,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},  # an extra program builds otherwise
            check=False,
            timeout=1200,
        )
        if done.returncode:
            raise RuntimeError(f"docker {arguments[0]}: {done.stdout.decode(errors='replace')}")
        return done.stdout.decode(errors="replace")

    def remove_containers(self) -> None:
        names = self.docker("ps", "-aq").split()
        if names:
            self.docker("rm", "-f", "-v", *names)


@contextmanager
def docker_engine(directory: Path) -> Iterator[DockerEngine]:
    """Start dockerd; on leaving its containers are removed and it is ended."""
    socket = directory / "docker.sock"
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "dockerd",
                *("-H", f"unix://{socket}"),
                *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
                *("-p", str(directory / "docker.pid"), "--bridge=none"),
                *("--iptables=false", "--ip6tables=false", "--ip-forward=false"),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
            ],
            stdout=log,
            stderr=log,
        )
    engine = DockerEngine(f"unix://{socket}", directory)
    try:
        _wait_until_ready(engine, process)
        yield engine
        engine.remove_containers()
    finally:
        process.terminate()
        process.wait(60)
        # It leaves the namespace of its host network mounted.
        for path in (directory / "exec" / "netns").glob("*"):
            subprocess.run(["umount", str(path)], check=False, capture_output=True)
        # Gigabytes, after an image was built.
        shutil.rmtree(directory / "data", ignore_errors=True)


def import_bare_image(engine: DockerEngine) -> None:
    """An image of empty folders, with the links of a merged /usr; `HOST_PATHS` fill it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("usr", "sbin", "proc", "sys", "dev", "etc", "tmp", "spool"):
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            folder.mode = 0o1777 if name == "tmp" else 0o755
            if name == "spool":
                folder.uid = folder.gid = WORKER_UID
            tar.addfile(folder)
        for name in ("bin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
    engine.docker("import", "-", BARE_IMAGE, standard_input=archive.getvalue())


def build_image(engine: DockerEngine, name: str, source: Path = REPOSITORY) -> None:
    """Build the Dockerfile of *source* under that name.

    The base image it asks for is a stand-in, made of Debian packages only, which trusts whom this
    machine trusts.
    """
    root = engine.directory / "base"
    subprocess.run(
        [
            *("debootstrap", "--variant=minbase"),
            *("--include=python3-minimal,python3-pip,ca-certificates", "bookworm", str(root)),
        ],
        check=True,
        capture_output=True,
        timeout=900,
    )
    for path in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        path.unlink()
    authorities = Path("etc/ssl/certs/ca-certificates.crt")
    shutil.copyfile("/" / authorities, root / authorities)
    (root / "etc/pip.conf").write_text(f"[global]\ncert = /{authorities}\n")
    with subprocess.Popen(
        ["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "-c", "."],
        stdout=subprocess.PIPE,
    ) as archive:
        assert archive.stdout is not None
        engine.docker("import", "-", BASE_IMAGE, standard_input=archive.stdout.read())
    shutil.rmtree(root)
    engine.docker("build", "--network=host", "-t", name, str(source))


def _wait_until_ready(engine: DockerEngine, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            engine.docker("version")
            return
        except RuntimeError:
            time.sleep(0.1)
    raise RuntimeError((engine.directory / "dockerd.log").read_text()[-2000:])
