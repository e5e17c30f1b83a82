"""What the Kubernetes launcher asks the API server for, as plain data; nothing here is done.

Pods keep to the "restricted" pod security standard. A Job is made suspended: it starts no pod
before its Secret is there, and the Secret, which the Job owns, can only be made after it.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.jobs.ports import Launch

GROUP_LABEL, JOB_LABEL, ATTEMPT_LABEL = "mixworker/group", "mixworker/job", "mixworker/attempt"
STOPPED_ANNOTATION = "mixworker/stopped"

DOCUMENT_PATH = "/run/mixworker/job.json"
SETTINGS_DIRECTORY = "/etc/mixworker"
KEYS_DIRECTORY = "/run/mixworker-keys"
SPOOL_DIRECTORY = "/spool"

CPU_BURST = 2.0
"""Workers compose and encode in batches: held to their mean they would be late in each."""
KEPT_S = 86_400
"""How long an ended Job stays when nobody forgets it."""
RECOVERY_KEPT_S = 60


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """How Jobs are made. Neither commands nor environment may hold secrets."""

    namespace: str
    image: str
    """By digest, unless it may change under running jobs."""
    run_command: Sequence[str]
    """Arguments of the image's entry point; the path of the job document is appended."""
    recover_command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    kubeconfig: str = ""
    """Empty: this process runs in the cluster."""
    group: str = "mixworker"
    """Jobs of this group are ours: one name for each control plane (or set of them)."""
    service_account: str = "mixworker-worker"
    settings_map: str = ""
    """ConfigMap that appears as files in `SETTINGS_DIRECTORY`; empty: none."""
    keys_secret: str = ""
    """Secret that appears as files in `KEYS_DIRECTORY`; empty: none."""
    spool_claim: str = ""
    """PersistentVolumeClaim; empty: the spool goes with its pod, and nothing can be recovered."""
    spool_mb: int = 2048
    """Asked of the node for a spool without a claim."""
    stop_grace_s: float = 60.0
    """Between SIGTERM and SIGKILL."""
    user_id: int = 10001
    fresh_s: float = 1.0
    """What the API has told of all workers is used again for so long; each is asked for often."""
    recover_cores: float = 1.0
    recover_memory_mb: int = 1024


def worker_job(launch: Launch, options: KubernetesOptions) -> dict[str, Any]:
    """The Job of one worker, suspended; nothing in it is secret."""
    name = worker_name(launch.job_id, launch.attempt, options)
    labels = {
        GROUP_LABEL: options.group,
        JOB_LABEL: launch.job_id,
        ATTEMPT_LABEL: str(launch.attempt),
    }
    job = _job(
        name,
        options,
        labels | {"app.kubernetes.io/component": "worker"},
        arguments=[*options.run_command, DOCUMENT_PATH],
        cores=launch.cores,
        memory_mb=launch.memory_mb,
        kept_s=KEPT_S,
    )
    job["spec"]["suspend"] = True
    pod = job["spec"]["template"]["spec"]
    folder, _, file_name = DOCUMENT_PATH.rpartition("/")
    # With fsGroup the kubelet lets the group read too: the file is root's, the group the worker's.
    secret = {
        "secretName": name,
        "defaultMode": 0o400,
        "items": [{"key": "document", "path": file_name}],
    }
    pod["volumes"].append({"name": "document", "secret": secret})
    mount = {"name": "document", "mountPath": folder, "readOnly": True}
    pod["containers"][0]["volumeMounts"].append(mount)
    return job


def document_secret(launch: Launch, options: KubernetesOptions, job_uid: str) -> dict[str, Any]:
    """The Secret with the job document; it is removed with its Job."""
    name = worker_name(launch.job_id, launch.attempt, options)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": "mixworker", GROUP_LABEL: options.group},
            "ownerReferences": [owner],
        },
        "type": "Opaque",
        "immutable": True,
        "data": {"document": base64.b64encode(launch.document).decode("ascii")},
    }


def recovery_job(options: KubernetesOptions) -> dict[str, Any]:
    """A Job that delivers what dead workers left in the claim; it removes itself."""
    return _job(
        f"{options.group}-recover",
        options,
        {GROUP_LABEL: options.group, "app.kubernetes.io/component": "recovery"},
        arguments=list(options.recover_command),
        cores=options.recover_cores,
        memory_mb=options.recover_memory_mb,
        kept_s=RECOVERY_KEPT_S,
    )


def worker_name(job_id: str, attempt: int, options: KubernetesOptions) -> str:
    """Name of a worker's Job and Secret: at most 63 characters of [a-z0-9-]."""
    return f"{options.group}-{job_id}-{attempt}"


def _job(
    name: str,
    options: KubernetesOptions,
    labels: dict[str, str],
    *,
    arguments: Sequence[str],
    cores: float,
    memory_mb: int,
    kept_s: int,
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "mixworker"} | labels
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "ttlSecondsAfterFinished": kept_s,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(
                    options,
                    container={
                        "name": "worker",
                        "image": options.image,
                        "args": list(arguments),
                        "env": [
                            {"name": key, "value": value}
                            for key, value in options.environment.items()
                        ],
                        "resources": _resources(options, cores, memory_mb),
                    },
                ),
            },
        },
    }


def _pod(options: KubernetesOptions, container: dict[str, Any]) -> dict[str, Any]:
    spool: dict[str, Any] = {"emptyDir": {}}
    if options.spool_claim:
        spool = {"persistentVolumeClaim": {"claimName": options.spool_claim}}
    volumes: list[dict[str, Any]] = [
        {"name": "spool", **spool},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    mounts: list[dict[str, Any]] = [
        {"name": "spool", "mountPath": SPOOL_DIRECTORY},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if options.settings_map:
        volumes.append({"name": "settings", "configMap": {"name": options.settings_map}})
        mounts.append({"name": "settings", "mountPath": SETTINGS_DIRECTORY, "readOnly": True})
    if options.keys_secret:
        keys = {"secretName": options.keys_secret, "defaultMode": 0o400}
        volumes.append({"name": "keys", "secret": keys})
        mounts.append({"name": "keys", "mountPath": KEYS_DIRECTORY, "readOnly": True})
    return {
        "restartPolicy": "Never",
        "serviceAccountName": options.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Else the worker is process 1, which does not hear SIGTERM before it has a handler for it.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": math.ceil(options.stop_grace_s),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": options.user_id,
            "runAsGroup": options.user_id,
            "fsGroup": options.user_id,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            container
            | {
                "volumeMounts": mounts,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
        "volumes": volumes,
    }


def _resources(options: KubernetesOptions, cores: float, memory_mb: int) -> dict[str, Any]:
    requests = {"cpu": _milli(cores), "memory": f"{memory_mb}Mi"}
    if not options.spool_claim:
        # Not a limit: a pod that goes over one is evicted, and its spool with it.
        requests["ephemeral-storage"] = f"{options.spool_mb}Mi"
    return {
        "requests": requests,
        "limits": {"cpu": _milli(cores * CPU_BURST), "memory": f"{memory_mb}Mi"},
    }


def _milli(cores: float) -> str:
    return f"{math.ceil(cores * 1000)}m"
