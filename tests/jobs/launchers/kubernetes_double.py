"""A double of the Kubernetes API, for want of a cluster: an HTTP server and a few processes.

It keeps Jobs, Secrets and Pods, checks manifests by a few rules and requests by a Role, and does
what controllers and a kubelet would: a Job that is not suspended gets a pod, which is a process of
this machine, once its Secret is there. What it knows of Kubernetes is what the documentation says;
it proves that the launcher is consistent, not that a cluster takes it.
"""

import asyncio
import base64
import itertools
import json
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Manifest = dict[str, Any]

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(m|Ki|Mi|Gi)?")


class Refused(Exception):  # noqa: N818
    """An answer other than 2xx."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def check_rules(manifest: Manifest) -> None:
    """Raise `Refused` for what the published schemas let pass and an API server does not."""
    if _NAME.fullmatch(manifest["metadata"]["name"]) is None:
        raise Refused(422, "metadata.name")
    template = manifest.get("spec", {}).get("template")
    if template is None:
        return
    pod = template["spec"]
    if manifest["kind"] == "Job" and pod.get("restartPolicy") not in ("Never", "OnFailure"):
        raise Refused(422, "restartPolicy")
    names = {volume["name"] for volume in pod.get("volumes", ())}
    for container in pod["containers"]:
        for kind in ("requests", "limits"):
            for amount in container.get("resources", {}).get(kind, {}).values():
                if _QUANTITY.fullmatch(amount) is None:
                    raise Refused(422, f"quantity {amount}")
        if not {mount["name"] for mount in container.get("volumeMounts", ())} <= names:
            raise Refused(422, "volumeMounts")


@dataclass(slots=True)
class Pod:
    """A pod and, once it could start, its process."""

    manifest: Manifest
    process: asyncio.subprocess.Process | None = None


@dataclass(slots=True)
class KubernetesDouble:
    """A namespace with one user, who has the rights of *rules*."""

    directory: Path
    entry_point: Sequence[str]
    """What the image would start."""
    rules: Sequence[Manifest]
    jobs: dict[str, Manifest] = field(default_factory=dict)
    secrets: dict[str, Manifest] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    used: set[tuple[str, str]] = field(default_factory=set)
    """Verb and resource of every request that was allowed."""
    requests: int = 0
    refusal: Refused | None = None
    """Answer to everything, while it is set."""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)

    # -- API server -------------------------------------------------------------------------

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """The address, while it answers; on leaving all pods are killed."""
        app = web.Application(middlewares=[_answers], client_max_size=4 << 20)
        jobs, core = "/apis/batch/v1/namespaces/test", "/api/v1/namespaces/test"
        app.add_routes(
            [
                web.post(f"{jobs}/jobs", self._create_job),
                web.get(f"{jobs}/jobs", self._list_jobs),
                web.get(jobs + "/jobs/{name}", self._get_job),
                web.patch(jobs + "/jobs/{name}", self._patch_job),
                web.delete(jobs + "/jobs/{name}", self._delete_job),
                web.post(f"{core}/secrets", self._create_secret),
                web.get(f"{core}/pods", self._list_pods),
                web.delete(core + "/pods/{name}", self._delete_pod),
            ]
        )
        async with TestServer(app) as server, self._group:
            try:
                yield str(server.make_url("")).rstrip("/")
            finally:
                for pod in self.pods.values():
                    pod.manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                    if pod.process is not None and pod.process.returncode is None:
                        pod.process.kill()
                self.pods.clear()

    def _allow(self, verb: str, resource: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        if not any(resource in rule["resources"] and verb in rule["verbs"] for rule in self.rules):
            raise Refused(403, f"cannot {verb} {resource}")
        self.used.add((verb, resource))
        self.requests += 1

    async def _create_job(self, request: web.Request) -> Manifest:
        self._allow("create", "jobs")
        job = self._stored(await request.json(), self.jobs)
        job["status"] = {}
        self._reconcile(job)
        return job

    async def _list_jobs(self, request: web.Request) -> Manifest:
        self._allow("list", "jobs")
        return {"kind": "JobList", "items": _selected(request, list(self.jobs.values()))}

    async def _get_job(self, request: web.Request) -> Manifest:
        self._allow("get", "jobs")
        return self._found(self.jobs, request)

    async def _patch_job(self, request: web.Request) -> Manifest:
        self._allow("patch", "jobs")
        job, change = self._found(self.jobs, request), await request.json()
        if request.content_type != "application/merge-patch+json":
            raise Refused(415, request.content_type)
        version = change.get("metadata", {}).pop("resourceVersion", None)
        if version not in (None, job["metadata"]["resourceVersion"]):
            raise Refused(409, "the object has been modified")
        _merge(job, change)
        self._touch(job)
        self._reconcile(job)
        return job

    async def _delete_job(self, request: web.Request) -> Manifest:
        self._allow("delete", "jobs")
        job = self._found(self.jobs, request)
        if request.query.get("propagationPolicy") != "Background":
            raise Refused(422, "would orphan its pods")
        del self.jobs[job["metadata"]["name"]]
        for name, secret in list(self.secrets.items()):
            owners = secret["metadata"]["ownerReferences"]
            if any(owner["uid"] == job["metadata"]["uid"] for owner in owners):
                del self.secrets[name]
        self._end_pod(job["metadata"]["name"], None)
        return {"kind": "Status", "status": "Success"}

    async def _create_secret(self, request: web.Request) -> Manifest:
        self._allow("create", "secrets")
        return self._stored(await request.json(), self.secrets)

    async def _list_pods(self, request: web.Request) -> Manifest:
        self._allow("list", "pods")
        pods = [pod.manifest for pod in self.pods.values()]
        return {"kind": "PodList", "items": _selected(request, pods)}

    async def _delete_pod(self, request: web.Request) -> Manifest:
        self._allow("delete", "pods")
        self._found({name: pod.manifest for name, pod in self.pods.items()}, request)
        self._end_pod(request.match_info["name"], float(request.query["gracePeriodSeconds"]))
        return {"kind": "Status", "status": "Success"}

    def _stored(self, manifest: Manifest, where: dict[str, Manifest]) -> Manifest:
        check_rules(manifest)
        name = manifest["metadata"]["name"]
        if name in where:
            raise Refused(409, f"{name} already exists")
        where[name] = manifest
        manifest["metadata"]["uid"] = f"uid-{next(self._numbers)}"
        self._touch(manifest)
        return manifest

    def _touch(self, manifest: Manifest) -> None:
        manifest["metadata"]["resourceVersion"] = str(next(self._numbers))

    def _found(self, where: dict[str, Manifest], request: web.Request) -> Manifest:
        try:
            return where[request.match_info["name"]]
        except KeyError as exc:
            raise Refused(404, "not found") from exc

    # -- controllers and kubelet ------------------------------------------------------------

    def _reconcile(self, job: Manifest) -> None:
        """Give a Job its pod, or end the pod of one that was suspended."""
        name = job["metadata"]["name"]
        if job["spec"].get("suspend"):
            self._end_pod(name, None)
        elif name not in self.pods and not job["status"].get("conditions"):
            template = job["spec"]["template"]
            manifest = {
                "metadata": {"name": name, "labels": template["metadata"]["labels"]},
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
            self.pods[name] = Pod(manifest)
            self._group.create_task(self._run_pod(name, self.pods[name]))

    async def _run_pod(self, name: str, pod: Pod) -> None:
        container = pod.manifest["spec"]["containers"][0]
        arguments = list(container["args"])
        for volume in pod.manifest["spec"]["volumes"]:
            if volume["name"] == "document":
                while volume["secret"]["secretName"] not in self.secrets:
                    await asyncio.sleep(0.05)
                    if self.pods.get(name) is not pod:
                        return
                secret = self.secrets[volume["secret"]["secretName"]]
                path = self.directory / name
                path.write_bytes(base64.b64decode(secret["data"]["document"]))
                arguments[-1] = str(path)
        with self.log(name).open("wb") as log:
            pod.process = await asyncio.create_subprocess_exec(
                *self.entry_point,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={each["name"]: each["value"] for each in container["env"]},
            )
        pod.manifest["status"]["phase"] = "Running"
        code = await pod.process.wait()
        code = code if code >= 0 else 128 - code
        if "deletionTimestamp" in pod.manifest["metadata"]:
            self.pods.pop(name, None)
            return
        pod.manifest["status"] = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}},
                }
            ],
        }
        condition = {"type": "Failed" if code else "Complete", "status": "True"}
        self.jobs[name]["status"]["conditions"] = [condition]
        self._touch(self.jobs[name])

    def _end_pod(self, name: str, grace_s: float | None) -> None:
        pod = self.pods.get(name)
        if pod is None or (grace_s is None and "deletionTimestamp" in pod.manifest["metadata"]):
            return
        if pod.process is None or pod.process.returncode is not None:
            del self.pods[name]
            return
        pod.manifest["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        if grace_s is None:
            grace_s = pod.manifest["spec"]["terminationGracePeriodSeconds"]
        pod.process.send_signal(signal.SIGTERM)
        self._group.create_task(_kill_after(pod.process, grace_s))

    def log(self, name: str) -> Path:
        return self.directory / f"{name}.log"


async def _kill_after(process: asyncio.subprocess.Process, grace_s: float) -> None:
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        process.kill()


@web.middleware
async def _answers(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return web.json_response(await handler(request))
    except Refused as exc:
        status = {"kind": "Status", "status": "Failure", "message": str(exc), "code": exc.status}
        return web.json_response(status, status=exc.status)


def _selected(request: web.Request, things: list[Manifest]) -> list[Manifest]:
    """Those that fit the label selector: key=value or key, with commas between."""
    wanted = [term.partition("=") for term in request.query["labelSelector"].split(",")]
    return [
        thing
        for thing in things
        if all(
            key in thing["metadata"]["labels"]
            and (not equals or thing["metadata"]["labels"][key] == value)
            for key, equals, value in wanted
        )
    ]


def _merge(target: Manifest, change: Manifest) -> None:
    """JSON merge patch (RFC 7396)."""
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def kubeconfig(url: str) -> str:
    """A configuration file for the double, as text (JSON is YAML)."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": "token-of-a-test"}}],
        }
    )
