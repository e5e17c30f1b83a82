"""docker-compose.yml as an operator runs it, on an engine of the test's own."""

import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.docker_engine import BASE_IMAGE, REPOSITORY, DockerEngine, build_image

FILE = REPOSITORY / "docker-compose.yml"
FILES = (FILE.name, "Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md")
FOLDERS = ("worker", "deploy")
PORTS = (8080, 8090, 8333, 1935, 9333, 19333, 9340, 19340, 8888, 18888, 18333)
"""What the services listen on; those of the S3 server's parts are fixed by it."""

RTMP_STAND_IN = f"""
FROM {BASE_IMAGE}
RUN apt-get update -qq \\
    && apt-get install -y -qq --no-install-recommends nginx-light libnginx-mod-rtmp \\
    && ln -sf /dev/stderr /var/log/nginx/error.log
CMD ["nginx", "-g", "load_module modules/ngx_rtmp_module.so; daemon off;"]
"""
S3_STAND_IN = f"""
FROM {BASE_IMAGE}
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends curl \\
    && useradd --uid 1000 seaweed && install -d -o seaweed -g seaweed /data
COPY weed /usr/bin/weed
WORKDIR /data
ENTRYPOINT ["false"]
"""
"""With the names, numbers and tools that docker-compose.yml expects of the published image."""


def services() -> dict[str, Any]:
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    found: dict[str, Any] = document["services"]
    return found


def header() -> str:
    """What the file says to people."""
    lines = FILE.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines[:end])


def commands() -> list[str]:
    """Those of the header, as they stand."""
    return re.findall(r"^  (\S.*)$", header(), re.MULTILINE)


def ports_in_use() -> list[int]:
    found = []
    for port in PORTS:
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                found.append(port)
    return found


def make_images(engine: DockerEngine, checkout: Path) -> None:
    """Ours, and stand-ins under the names of the published ones, which are out of reach.

    Ours is built here because an engine without a bridge has no network for the builds of
    docker-compose; its `up --build` finds every step of the same checkout in the cache.
    """
    build_image(engine, services()["control-plane"]["image"], checkout)
    for service, dockerfile in (("rtmp", RTMP_STAND_IN), ("s3", S3_STAND_IN)):
        with tempfile.TemporaryDirectory() as context:
            if "COPY weed" in dockerfile:
                shutil.copy(Path(sys.executable).parent / "weed", context)
            (Path(context) / "Dockerfile").write_text(dockerfile, encoding="utf-8")
            engine.docker("build", "--network=host", "-t", services()[service]["image"], context)


@dataclass(frozen=True, slots=True)
class Composed:
    """A checkout, and an engine that runs what it says."""

    engine: DockerEngine
    directory: Path
    """Of the checkout; its name is the project's."""

    def copy_checkout(self) -> None:
        self.directory.mkdir()
        for name in FILES:
            shutil.copy(REPOSITORY / name, self.directory)
        for name in FOLDERS:
            no_bytecode = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / name, self.directory / name, ignore=no_bytecode)

    def shell(self, script: str, *, typed: str = "") -> str:
        """What *script* prints on a terminal; *typed* answers whatever asks for a password.

        `docker compose` is the program that Debian has for it.
        """
        program = f'docker() {{ shift; command docker-compose "$@"; }}\nset -eu\n{script}'
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", program],
            cwd=self.directory,
            env=self._environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        printed = b""
        try:
            while True:
                try:
                    some = os.read(ours, 4096)
                except OSError:  # how a terminal says that nobody is left
                    break
                printed += some
                if re.search(rb"(Password|confirmation): ?$", printed):
                    os.write(ours, f"{typed}\n".encode())
                    printed += b"\n"
        finally:
            os.close(ours)
            code = process.wait()
        text = printed.decode(errors="replace").replace("\r", "")
        if code:
            raise RuntimeError(f"exit code {code}: {text}\n{self.logs()}")
        return text

    def logs(self) -> str:
        done = subprocess.run(
            ["docker-compose", "logs", "--no-color", "--tail=60"],
            cwd=self.directory,
            env=self._environment(),
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.stdout.decode(errors="replace")

    def in_volume(self, volume: str, script: str) -> str:
        """What a shell says that looks into a volume, at /look."""
        return self.engine.docker(
            *("run", "--rm", "--network=none", "--user=0", "--entrypoint=/bin/sh"),
            *("-v", f"{self.directory.name}_{volume}:/look:ro"),
            *(services()["control-plane"]["image"], "-c", script),
        )

    def _environment(self) -> dict[str, str]:
        # The classic builder, as the engine's other builds: another program builds otherwise.
        return {**os.environ, "DOCKER_HOST": self.engine.url, "DOCKER_BUILDKIT": "0"}
