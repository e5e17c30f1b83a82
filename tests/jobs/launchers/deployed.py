"""The manifests in deploy/kubernetes."""

from pathlib import Path
from typing import Any

import yaml

DIRECTORY = Path(__file__).parents[3] / "deploy" / "kubernetes"


def manifests() -> list[dict[str, Any]]:
    """All of them, in the order of their files' names."""
    return [
        manifest
        for path in sorted(DIRECTORY.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def manifest(kind: str, name: str) -> dict[str, Any]:
    return next(
        each for each in manifests() if each["kind"] == kind and each["metadata"]["name"] == name
    )


def worker_rights() -> list[dict[str, Any]]:
    """The rules of the Role that the control plane is given."""
    rules: list[dict[str, Any]] = manifest("Role", "mixworker")["rules"]
    return rules
