"""The pods of our manifests, run by podman for want of a cluster.

It takes what a kubelet takes but for three things, which the test does in its place: Secrets as
volumes, fsGroup, and a worker of a Job (it knows pods only).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.launchers.rehearsal import rehearsal
from tests.jobs.launchers.worlds import JOB
from tests.support.docker_engine import WORKER_UID, DockerEngine
from tests.support.podman import Podman
from worker.jobs.launchers.kubernetes_manifests import (
    KubernetesOptions,
    recovery_job,
    worker_job,
)
from worker.jobs.ports import Launch

pytestmark = pytest.mark.soak

OPTIONS = KubernetesOptions(
    namespace="test",
    image="localhost/worker:test",
    run_command=("run",),
    recover_command=("recover",),
    spool_claim="spool",
)
LAUNCH = Launch(JOB, 1, rehearsal("/tmp/out"), cores=1.0, memory_mb=512)


@pytest.fixture(scope="module")
def podman(
    tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine, our_image: str
) -> Iterator[Podman]:
    directory = tmp_path_factory.mktemp("podman")
    running = Podman(directory)
    running.configure()
    engine.docker("save", "-o", str(directory / "image.tar"), our_image)
    loaded = running("load", "-q", "-i", str(directory / "image.tar")).split()[-1]
    running("tag", loaded, OPTIONS.image)
    (directory / "image.tar").unlink()
    yield running
    running("system", "reset", "--force")


def pod_of(job: dict[str, Any], directory: Path) -> dict[str, Any]:
    spec = job["spec"]["template"]["spec"]
    document = next((each for each in spec["volumes"] if each["name"] == "document"), None)
    if document is not None:
        path = directory / "job.json"
        path.write_bytes(LAUNCH.document)
        path.chmod(0o440)
        os.chown(path, 0, WORKER_UID)
        directory.chmod(0o755)
        del document["secret"]
        document["hostPath"] = {"path": str(directory)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "test"}, "spec": spec}


def test_a_workers_pod_records_with_the_least_rights(podman: Podman, tmp_path: Path) -> None:
    pod = pod_of(worker_job(LAUNCH, OPTIONS), tmp_path)
    podman.play(pod)
    code = podman("wait", "test-worker").strip()
    facts = json.loads(podman("inspect", "test-worker"))[0]
    said = podman("logs", "test-worker")
    podman("pod", "rm", "-f", "test")

    assert code == "0", said
    assert facts["HostConfig"]["ReadonlyRootfs"] is True
    assert facts["HostConfig"]["Memory"] == 512 << 20
    assert facts["EffectiveCaps"] in (None, [])
    assert "/tmp/out/" in said

    pod["spec"]["containers"][0] |= {"command": ["cat", "/proc/self/status"], "args": []}
    podman.play(pod)
    podman("wait", "test-worker")
    lines = (line.split() for line in podman("logs", "test-worker").splitlines())
    status = {words[0]: words[1:] for words in lines if words}
    podman("pod", "rm", "-f", "test")

    assert status["CapEff:"] == status["CapBnd:"] == ["0" * 16]
    assert status["NoNewPrivs:"] == ["1"]
    assert status["Seccomp:"] == ["2"]
    assert status["Uid:"] == [str(WORKER_UID)] * 4


def test_a_recoverys_pod_ends_by_itself(podman: Podman, tmp_path: Path) -> None:
    podman.play(pod_of(recovery_job(OPTIONS), tmp_path))
    code = podman("wait", "test-worker").strip()
    said = podman("logs", "test-worker")
    podman("pod", "rm", "-f", "test")

    assert code == "0", said
