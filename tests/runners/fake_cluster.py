"""A part of Kubernetes' API in this process: jobs and pods, listed, watched, created and deleted, and their logs.

Manifests are validated strictly as an API server does; `fake_kubelet` runs them. No scheduler, no admission, no rights.
For what Prefect's worker submits and sees.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import datetime
import json
import secrets
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import kubernetes_validate
import yaml
from aiohttp import web

from tests.runners.fake_kubelet import PodProcess

VERSION = "1.35"
_KINDS = {
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "namespaces": ("v1", "Namespace"),
}
_GROUPS = {"v1": ("pods", "events", "namespaces"), "batch/v1": ("jobs",)}

Manifest = dict[str, Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeCluster:
    """The API server, its objects, and the pods that run.

    Args:
        folder: of the pods' logs and volumes, and of the kubeconfig.
        images: that can be pulled.
        secrets: their entries by name, in all namespaces.
    """

    def __init__(self, folder: Path, images: set[str], secrets: dict[str, dict[str, str]]) -> None:
        self._folder, self._images = folder, images
        encoded = {name: {key: base64.b64encode(text.encode()).decode() for key, text in entries.items()}
                   for name, entries in secrets.items()}  # fmt: skip
        self._secrets = encoded
        self.submitted: list[Manifest] = []  # the jobs, as they came
        self.pods: dict[str, PodProcess] = {}  # by the name of the job
        self._objects: dict[tuple[str, str], Manifest] = {}  # by resource and name
        self._version = 100
        self._watchers: list[asyncio.Queue[tuple[str, str, Manifest]]] = []
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        self._port: int | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> Path:
        """The file that KUBECONFIG names."""
        return self._folder / "kubeconfig"

    @property
    def jobs(self) -> dict[str, Manifest]:
        """The jobs that are there, by name."""
        return {name: one for (resource, name), one in list(self._objects.items()) if resource == "jobs"}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        assert self._ready.wait(20)
        named = {"name": "fake", "cluster": {"server": self.url}}
        context = {"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": "default"}}
        self.kubeconfig.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake", "clusters": [named],
            "contexts": [context], "users": [{"name": "fake", "user": {}}],
        }))  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self.pods.values():
            pod.kill()
            pod.join()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=1 << 24)
        application.add_routes(self._routes())
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        groups = [{"name": "batch", "versions": [{"groupVersion": "batch/v1", "version": "v1"}],
                   "preferredVersion": {"groupVersion": "batch/v1", "version": "v1"}}]  # fmt: skip
        found = [
            web.get("/version", _constant({"major": "1", "minor": VERSION[2:], "gitVersion": f"v{VERSION}.0"})),
            web.get("/api", _constant({"kind": "APIVersions", "versions": ["v1"]})),
            web.get("/apis", _constant({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})),
        ]
        for group, path in (("v1", "/api/v1"), ("batch/v1", "/apis/batch/v1")):
            one = f"{path}/namespaces/{{namespace}}/{{resource}}/{{name}}"
            found += [
                web.get(path, _constant(_resources(group))),
                web.get(f"{one}/log", self._log),
                web.get(one, self._read),
                web.delete(one, self._delete),
                web.post(f"{path}/namespaces/{{namespace}}/{{resource}}", self._create),
                web.get(f"{path}/namespaces/{{namespace}}/{{resource}}", self._list),
                web.get(f"{path}/{{resource}}", self._list),
            ]
        return found

    async def _create(self, request: web.Request) -> web.Response:
        manifest = await request.json()
        if request.match_info["resource"] != "jobs":
            return _refusal(403, "only jobs are created here")
        try:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
        except kubernetes_validate.ValidationError as error:
            return _refusal(422, f"invalid: {error.message}")
        self.submitted.append(copy.deepcopy(manifest))
        name = manifest["metadata"]["generateName"] + secrets.token_hex(3)
        job = {**manifest, "metadata": self._metadata(name, request.match_info["namespace"], manifest["metadata"])}
        job["status"] = {"active": 1}
        self._store("jobs", job, "ADDED")
        template = job["spec"]["template"]
        labels = {**template["metadata"]["labels"], "job-name": name, "batch.kubernetes.io/job-name": name}
        metadata = self._metadata(f"{name}-pod", request.match_info["namespace"], {"labels": labels})
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._store("pods", {**pod, "status": {"phase": "Pending"}}, "ADDED")

        def report(status: Manifest) -> None:  # from any thread
            self._loop.call_soon_threadsafe(self._observe, name, pod, status)

        self.pods[name] = PodProcess(pod, self._folder / name, self._secrets, self._images, report)
        return web.json_response(job, status=201)

    def _observe(self, name: str, pod: Manifest, status: Manifest) -> None:
        """The controller of jobs: a job ends with its pod, as `backoffLimit` is 0."""
        if ("jobs", name) not in self._objects:
            return
        self._store("pods", {**pod, "status": {**status, "startTime": _now()}}, "MODIFIED")
        outcome = {"Succeeded": ("Complete", "succeeded"), "Failed": ("Failed", "failed")}.get(status["phase"])
        if outcome is not None:
            condition = {"type": outcome[0], "status": "True", "lastTransitionTime": _now()}
            ended = {"startTime": _now(), "conditions": [condition], outcome[1]: 1}
            self._store("jobs", {**self._objects["jobs", name], "status": ended}, "MODIFIED")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        if resource not in _KINDS:
            return _refusal(404, f"no resource {resource}")
        if request.query.get("watch", "").lower() in ("true", "1"):
            return await self._watch(request, resource)
        version, kind = _KINDS[resource]
        items = [one for (found, _), one in self._objects.items() if found == resource and _fits(one, request)]
        metadata = {"resourceVersion": str(self._version)}
        return web.json_response({"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        events: asyncio.Queue[tuple[str, str, Manifest]] = asyncio.Queue()
        since = int(request.query.get("resourceVersion") or 0)
        for (found, _), one in self._objects.items():
            if int(one["metadata"]["resourceVersion"]) > since:
                events.put_nowait((found, "ADDED", one))
        self._watchers.append(events)
        await response.prepare(request)
        try:
            while True:
                found, event, one = await events.get()
                if found == resource and _fits(one, request):
                    await response.write(json.dumps({"type": event, "object": one}).encode() + b"\n")
        except ConnectionResetError:
            return response
        finally:
            self._watchers.remove(events)

    async def _read(self, request: web.Request) -> web.Response:
        found = self._objects.get((request.match_info["resource"], request.match_info["name"]))
        return web.json_response(found) if found is not None else _refusal(404, "not found")

    async def _delete(self, request: web.Request) -> web.Response:
        resource, name = request.match_info["resource"], request.match_info["name"]
        job = self._objects.get((resource, name))
        if job is None or resource != "jobs":
            return _refusal(404, "not found")
        grace = job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        await asyncio.to_thread(self.pods[name].stop, float(request.query.get("gracePeriodSeconds", grace)))
        for one in (("pods", f"{name}-pod"), ("jobs", name)):
            if one in self._objects:
                self._store(one[0], self._objects[one], "DELETED")
        return web.json_response(job)

    async def _log(self, request: web.Request) -> web.Response:
        pod = self.pods[request.match_info["name"].removesuffix("-pod")]
        return web.Response(text=pod.log.read_text() if pod.log.exists() else "")

    def _metadata(self, name: str, namespace: str, asked: Manifest) -> Manifest:
        made = {"name": name, "namespace": namespace, "uid": str(uuid.uuid4()), "creationTimestamp": _now()}
        return {**asked, **made}

    def _store(self, resource: str, manifest: Manifest, event: str) -> None:
        self._version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
        changed = {**manifest, "metadata": metadata}
        self._objects[resource, metadata["name"]] = changed
        if event == "DELETED":
            del self._objects[resource, metadata["name"]]
        for watcher in self._watchers:
            watcher.put_nowait((resource, event, changed))


def _fits(manifest: Manifest, request: web.Request) -> bool:
    """Whether an object is in the namespace and has the labels that a request names."""
    metadata = manifest["metadata"]
    labels = metadata.get("labels") or {}
    if request.match_info.get("namespace") not in (None, metadata.get("namespace")):
        return False
    for part in filter(None, request.query.get("labelSelector", "").split(",")):
        name, is_equal, value = part.strip().partition("=")
        if name not in labels or (is_equal and labels[name] != value.lstrip("=")):
            return False
    return True


def _resources(group: str) -> Manifest:
    verbs = ["create", "delete", "get", "list", "patch", "watch"]
    found = [
        {"name": name, "singularName": name[:-1], "namespaced": name != "namespaces", "kind": _KINDS[name][1],
         "verbs": verbs}
        for name in _GROUPS[group]
    ]  # fmt: skip
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": found}


def _constant(document: Manifest) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


def _refusal(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
    return web.json_response(body, status=code)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
