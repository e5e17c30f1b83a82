"""Manifests as an API server with the restricted pod security standard would judge them."""

import base64
import copy
import functools
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from kubernetes_validate.utils import latest_version, schema_contents
from referencing import Registry, Resource

from tests.jobs.launchers import deployed
from tests.jobs.launchers.kubernetes_double import Refused, check_rules
from tests.jobs.launchers.worlds import JOB
from worker.jobs.launchers.kubernetes_manifests import (
    DOCUMENT_PATH,
    KubernetesOptions,
    document_secret,
    recovery_job,
    worker_job,
)
from worker.jobs.ports import Launch
from worker.settings import load_settings

OPTIONS = KubernetesOptions(
    namespace="mixworker",
    image="registry.example/mixworker@sha256:" + "1" * 64,
    run_command=("--config", "/etc/mixworker/worker.toml", "run"),
    recover_command=("--config", "/etc/mixworker/worker.toml", "recover"),
    settings_map="mixworker-worker",
    keys_secret="mixworker-storage",  # noqa: S106
    spool_claim="mixworker-spool",
    stop_grace_s=60.5,
)
SCHEMAS = f"kubernetes-json-schema/v{latest_version()}-local-strict"
LAUNCH = Launch(JOB, 3, b'{"pin": "canary"}', cores=1.25, memory_mb=700)


@functools.cache
def _definitions() -> Resource[Any]:
    """Two megabytes, so they are read once."""
    return Resource.from_contents(schema_contents(f"{SCHEMAS}/_definitions.json", latest_version()))


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise `Refused` for what an API server would refuse."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    kind = "-".join(filter(None, [manifest["kind"].lower(), group.partition(".")[0], version]))
    schema = schema_contents(f"{SCHEMAS}/{kind}.json", latest_version())
    registry = Resource.from_contents(schema) @ (_definitions() @ Registry())
    for error in Draft202012Validator(schema, registry=registry).iter_errors(manifest):
        raise Refused(422, error.message)
    check_rules(manifest)


def pods() -> list[dict[str, Any]]:
    """Every pod that can come of these manifests."""
    jobs = [worker_job(LAUNCH, OPTIONS), recovery_job(OPTIONS)]
    owners = [*jobs, deployed.manifest("Deployment", "mixworker")]
    return [owner["spec"]["template"]["spec"] for owner in owners]


@pytest.mark.parametrize(
    "manifest",
    [
        worker_job(LAUNCH, OPTIONS),
        worker_job(LAUNCH, replace(OPTIONS, spool_claim="", settings_map="", keys_secret="")),
        recovery_job(OPTIONS),
        document_secret(LAUNCH, OPTIONS, "uid"),
        *deployed.manifests(),
    ],
    ids=lambda manifest: f"{manifest['kind']} {manifest['metadata']['name']}",
)
def test_manifests_are_what_the_schemas_ask_for(manifest: dict[str, Any]) -> None:
    check_manifest(manifest)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "spec", "restartPolicy"), "Always"),
        (("metadata", "name"), "Rec_R1"),
        (("spec", "backoff"), 1),
        (("spec", "backoffLimit"), "none"),
        (("spec", "template", "spec", "volumes"), []),
    ],
)
def test_the_check_refuses_what_an_api_server_refuses(path: tuple[str, ...], value: Any) -> None:
    manifest = copy.deepcopy(worker_job(LAUNCH, OPTIONS))
    where = manifest
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value

    with pytest.raises(Refused):
        check_manifest(manifest)


def test_an_amount_that_is_none_is_refused() -> None:
    manifest = worker_job(LAUNCH, OPTIONS)
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["resources"]["limits"]["cpu"] = "lots"

    with pytest.raises(Refused):
        check_manifest(manifest)


@pytest.mark.parametrize("pod", pods(), ids=["worker", "recovery", "control plane"])
def test_pods_keep_to_the_restricted_standard(pod: dict[str, Any]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["fsGroup"] == 10001
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    kinds = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    assert all(volume.keys() - {"name"} <= kinds for volume in pod["volumes"])
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert not any("hostPort" in port for port in container.get("ports", ()))


def test_a_worker_is_started_once_and_gets_what_it_needs() -> None:
    job = worker_job(LAUNCH, OPTIONS)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert job["metadata"]["name"] == f"mixworker-{JOB}-3"
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["suspend"] is True
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] == 61
    assert pod["automountServiceAccountToken"] is False
    assert container["args"] == ["--config", "/etc/mixworker/worker.toml", "run", DOCUMENT_PATH]
    assert container["resources"] == {
        "requests": {"cpu": "1250m", "memory": "700Mi"},
        "limits": {"cpu": "2500m", "memory": "700Mi"},
    }


def test_the_document_is_in_the_secret_alone_which_goes_with_its_job() -> None:
    job, secret = worker_job(LAUNCH, OPTIONS), document_secret(LAUNCH, OPTIONS, "uid-of-the-job")
    volumes = {each["name"]: each for each in job["spec"]["template"]["spec"]["volumes"]}

    assert base64.b64decode(secret["data"]["document"]) == LAUNCH.document
    assert "canary" not in json.dumps(job)
    assert base64.b64encode(LAUNCH.document).decode() not in json.dumps(job)
    assert volumes["document"]["secret"]["secretName"] == secret["metadata"]["name"]
    assert volumes["document"]["secret"]["defaultMode"] == 0o400
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == (
        "Job",
        job["metadata"]["name"],
        "uid-of-the-job",
    )


def test_without_a_claim_the_node_is_asked_for_the_spools_room() -> None:
    job = worker_job(LAUNCH, replace(OPTIONS, spool_claim=""))
    pod = job["spec"]["template"]["spec"]

    assert {"name": "spool", "emptyDir": {}} in pod["volumes"]
    assert pod["containers"][0]["resources"]["requests"]["ephemeral-storage"] == "2048Mi"


def test_the_control_plane_cannot_read_secrets_or_reach_beyond_its_namespace() -> None:
    kinds = {each["kind"] for each in deployed.manifests()}
    rights = {
        (verb, resource)
        for rule in deployed.worker_rights()
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }

    assert not any(kind.startswith("Cluster") for kind in kinds)
    assert {verb for verb, resource in rights if resource == "secrets"} == {"create"}
    assert not any("*" in right for right in rights)
    accounts = {each["metadata"].get("namespace") for each in deployed.manifests()}
    assert accounts == {None, "mixworker"}  # the namespace itself is in none


def test_deployed_settings_are_settings(tmp_path: Path) -> None:
    for name in ("mixworker", "mixworker-worker"):
        for file_name, text in deployed.manifest("ConfigMap", name)["data"].items():
            path = tmp_path / file_name
            path.write_text(text)
            settings = load_settings(path, {})
            assert "grace_s" not in tomllib.loads(text).get("stop", {}) or (
                settings.stop.grace_s < OPTIONS.stop_grace_s
            )


def test_kustomization_names_every_file() -> None:
    kustomization = yaml.safe_load((deployed.DIRECTORY / "kustomization.yaml").read_text())

    files = {path.name for path in deployed.DIRECTORY.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(kustomization["resources"]) == files
