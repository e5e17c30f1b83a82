"""Podman with a store of its own, which can run the pod of a Kubernetes manifest for real."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RUNTIME = """#!{python}
# runc, but for limits that need a right which tests do not have.
import json, os, pathlib, sys
for flag, folder in zip(sys.argv, sys.argv[1:]):
    if flag in ("--bundle", "-b"):
        path = pathlib.Path(folder, "config.json")
        config = json.loads(path.read_text())
        config["process"].pop("rlimits", None)
        path.write_text(json.dumps(config))
os.execv("/usr/sbin/runc", ["runc", *sys.argv[1:]])
"""


@dataclass(frozen=True, slots=True)
class Podman:
    """Commands against the store in *directory*."""

    directory: Path

    def configure(self) -> None:
        runtime = self.directory / "runtime"
        runtime.write_text(_RUNTIME.format(python=sys.executable))
        runtime.chmod(0o755)
        (self.directory / "containers.conf").write_text(
            '[engine]\nruntime = "unlimited"\ncgroup_manager = "cgroupfs"\n'
            'events_logger = "file"\n'
            f'[engine.runtimes]\nunlimited = ["{runtime}"]\n[containers]\nlog_driver = "k8s-file"\n'
        )
        (self.directory / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.directory}/store"\n'
            f'runroot = "{self.directory}/run"\n'
        )

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["podman", *arguments],
            env={
                **os.environ,
                "CONTAINERS_CONF": str(self.directory / "containers.conf"),
                "CONTAINERS_STORAGE_CONF": str(self.directory / "storage.conf"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=600,
        )
        text = done.stdout.decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"podman {arguments[0]}: {text}")
        return text

    def play(self, pod: dict[str, Any]) -> None:
        path = self.directory / "pod.json"
        path.write_text(json.dumps(pod))
        self("play", "kube", "--network", "none", str(path))
