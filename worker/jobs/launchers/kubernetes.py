"""Workers as Kubernetes Jobs, one Job and one Secret each.

The cluster says where they run, and keeps them when we are gone. Every step can be done again by
anybody, and none starts a second pod: a Job's name says which worker it is, it is made suspended,
and whoever finds it so completes it. Stopping suspends it again, which ends its pod by SIGTERM
once, however often it is asked for.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientError
from kubernetes_asyncio.client import ApiClient, BatchV1Api, Configuration, CoreV1Api
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from worker.errors import LaunchError, LaunchRefused
from worker.jobs.launchers.kubernetes_manifests import (
    ATTEMPT_LABEL,
    GROUP_LABEL,
    JOB_LABEL,
    STOPPED_ANNOTATION,
    KubernetesOptions,
    document_secret,
    recovery_job,
    worker_job,
    worker_name,
)
from worker.jobs.ports import Launch, WorkerState

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 30.0

_KILL_GRACE_S = 1
"""With none the pod would be gone from the API while its processes may still live."""
_UNFINISHED = ("Pending", "Running", "Unknown")
_FORBIDDEN, _GONE, _CONFLICT = 403, 404, 409
_TRIES = 5
"""The Job controller writes into a new Job at about the time we do."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Jobs, and pods of jobs, by job and attempt."""

    jobs: dict[tuple[str, int], Any]
    pods: dict[tuple[str, int], list[Any]]

    def state(self, key: tuple[str, int]) -> WorkerState | None:
        job, pods = self.jobs.get(key), self.pods.get(key, [])
        if any(pod.status.phase in _UNFINISHED for pod in pods):
            return WorkerState(is_running=True)
        if job is None or _is_unborn(job):
            return None
        # A Job that is neither suspended nor finished and has no pod is about to make it.
        if not (pods or job.spec.suspend or _is_finished(job)):
            return WorkerState(is_running=True)
        exit_code = next((code for pod in pods for code in _exit_codes(pod)), None)
        if exit_code is None and _has_condition(job, "Complete"):
            exit_code = 0
        return WorkerState(is_running=False, exit_code=exit_code)


class KubernetesLauncher:
    """Fulfils `ports.Launcher` by Jobs. Made by `kubernetes_launcher`."""

    def __init__(self, client: ApiClient, options: KubernetesOptions) -> None:
        self._options = options
        # The library has no types for its calls.
        self._jobs: Any = BatchV1Api(client)
        self._core: Any = CoreV1Api(client)
        self._seen = _Seen({}, {})
        self._seen_until_s = 0.0
        self._where = {"namespace": options.namespace, "_request_timeout": ANSWER_WITHIN_S}
        if "@sha256:" not in options.image:
            log.warning("worker image is not named by digest", extra={"image": options.image})

    async def launch(self, launch: Launch) -> None:
        name = worker_name(launch.job_id, launch.attempt, self._options)
        self._seen_until_s = 0.0
        job = None
        with _in_words(_CONFLICT):
            job = await self._jobs.create_namespaced_job(
                body=worker_job(launch, self._options), **self._where
            )
        if job is None:
            job = await self._job(name)
        if job is None or not _is_unborn(job):
            return
        with _in_words(_CONFLICT, is_secret=True):
            await self._core.create_namespaced_secret(
                body=document_secret(launch, self._options, job.metadata.uid), **self._where
            )
        for _ in range(_TRIES):
            # Of this version only: somebody may have stopped it meanwhile.
            version = {"resourceVersion": job.metadata.resource_version}
            with _in_words(_CONFLICT, _GONE):
                await self._patch(name, {"metadata": version, "spec": {"suspend": False}})
                return
            job = await self._job(name)
            if job is None or not _is_unborn(job):
                return
        raise LaunchError("the Kubernetes Job is changed all the time")

    async def look(self, job_id: str, attempt: int) -> WorkerState | None:
        return (await self._all()).state((job_id, attempt))

    async def running(self) -> Collection[tuple[str, int]]:
        seen = await self._all()
        states = {key: seen.state(key) for key in (*seen.jobs, *seen.pods)}
        return [key for key, state in states.items() if state is not None and state.is_running]

    async def stop(self, job_id: str, attempt: int) -> None:
        self._seen_until_s = 0.0
        with _in_words(_GONE):
            await self._patch(
                worker_name(job_id, attempt, self._options),
                {
                    "metadata": {"annotations": {STOPPED_ANNOTATION: "true"}},
                    "spec": {"suspend": True},
                },
            )

    async def kill(self, job_id: str, attempt: int) -> None:
        await self.stop(job_id, attempt)
        for pod in (await self._all()).pods.get((job_id, attempt), ()):
            if pod.status.phase in _UNFINISHED:
                self._seen_until_s = 0.0
                with _in_words(_GONE):
                    await self._core.delete_namespaced_pod(
                        name=pod.metadata.name, grace_period_seconds=_KILL_GRACE_S, **self._where
                    )

    async def forget(self, job_id: str, attempt: int) -> None:
        state = await self.look(job_id, attempt)
        if state is not None and state.is_running:
            return
        self._seen_until_s = 0.0
        with _in_words(_GONE):
            await self._jobs.delete_namespaced_job(
                name=worker_name(job_id, attempt, self._options),
                propagation_policy="Background",
                **self._where,
            )

    async def recover(self) -> None:
        """Nothing without a claim. One that has ended removes itself, and another can be made."""
        if self._options.spool_claim:
            with _in_words(_CONFLICT):
                await self._jobs.create_namespaced_job(
                    body=recovery_job(self._options), **self._where
                )

    async def _all(self) -> "_Seen":
        """All Jobs and pods of the group, as they are or were a moment ago."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._seen_until_s:
            ours = {
                "label_selector": f"{GROUP_LABEL}={self._options.group},{JOB_LABEL}",
                **self._where,
            }
            with _in_words():
                jobs = await self._jobs.list_namespaced_job(**ours)
                pods = await self._core.list_namespaced_pod(**ours)
            self._seen = _Seen({_key(job): job for job in jobs.items}, {})
            for pod in pods.items:
                self._seen.pods.setdefault(_key(pod), []).append(pod)
            self._seen_until_s = now_s + self._options.fresh_s
        return self._seen

    async def _job(self, name: str) -> Any:
        with _in_words(_GONE):
            return await self._jobs.read_namespaced_job(name=name, **self._where)
        return None

    async def _patch(self, name: str, change: dict[str, Any]) -> None:
        await self._jobs.patch_namespaced_job(
            name=name, body=change, _content_type="application/merge-patch+json", **self._where
        )


@asynccontextmanager
async def kubernetes_launcher(options: KubernetesOptions) -> AsyncIterator[KubernetesLauncher]:
    """A launcher with a connection to the API server, which need not answer yet.

    Raises `LaunchError` when there is no such configuration.
    """
    # At its debug level it writes down answers, and the answer to a Secret is the Secret.
    logging.getLogger("kubernetes_asyncio.client.rest").setLevel(logging.INFO)
    configuration = Configuration()
    try:
        if options.kubeconfig:
            await load_kube_config(
                options.kubeconfig, client_configuration=configuration, persist_config=False
            )
        else:
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as exc:
        raise LaunchError("there is no usable configuration of a Kubernetes cluster") from exc
    async with ApiClient(configuration) as client:
        yield KubernetesLauncher(client, options)


def _key(thing: Any) -> tuple[str, int]:
    labels = thing.metadata.labels
    return labels[JOB_LABEL], int(labels[ATTEMPT_LABEL])


def _is_unborn(job: Any) -> bool:
    """Whether it was made and never let go: its launcher is still at it, or died."""
    is_stopped = STOPPED_ANNOTATION in (job.metadata.annotations or {})
    return bool(job.spec.suspend) and not is_stopped


def _has_condition(job: Any, kind: str) -> bool:
    return any(each.type == kind and each.status == "True" for each in job.status.conditions or ())


def _is_finished(job: Any) -> bool:
    return _has_condition(job, "Complete") or _has_condition(job, "Failed")


def _exit_codes(pod: Any) -> Iterator[int]:
    for container in pod.status.container_statuses or ():
        if container.state.terminated is not None:
            yield container.state.terminated.exit_code


@contextmanager
def _in_words(*ignored: int, is_secret: bool = False) -> Iterator[None]:
    """The API's errors as `LaunchError`; an answer of an *ignored* status is none."""
    try:
        yield
    except ApiException as exc:
        if exc.status in ignored:
            return
        # What is wrong with a Secret may be told in its own words.
        message = "" if is_secret else _message(exc)
        if exc.status == _FORBIDDEN and "exceeded quota" in _message(exc):
            raise LaunchRefused("the cluster's quota is used up") from None
        raise LaunchError(f"the Kubernetes API answers {exc.status} {message}".strip()) from None
    except (TimeoutError, ClientError, OSError) as exc:
        raise LaunchError("the Kubernetes API does not answer") from exc


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "{}").get("message", error.reason))
    except (ValueError, AttributeError):
        return str(error.reason)
