"""A stand-in for a cluster, over HTTP: an API server with the objects that releases make, and a kubelet whose pods are
real processes of the bundle's own service.

As the API has it: merge patches, resource versions that conflict, deletion with preconditions, strict validation by the
published schemas, the proxy to pods (which takes `Authorization` for itself), rights. No scheduler, no admission, no
network of its own: `ask_service` follows the EndpointSlices of a Service, `ask_route` the weights of a route.
"""

from __future__ import annotations

import base64
import copy
import functools
import json
import random
import re
import socket
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import jsonschema
import kubernetes_validate
import yaml

from components.packaging.bundle import Bundle
from flows.serving_targets.cluster_api import COLLECTIONS
from flows.serving_targets.cluster_endpoints import SERVICE_LABEL, answering
from tests.deployment import kserve_schema
from tests.serving_targets import containers
from tests.serving_targets.kserve_controller import KServeController

VERSION = "1.37"
DICE = random.Random(0)  # noqa: S311
PRE_STOP_SECONDS = 0.5  # a tenth of what pods ask for
MOST_STARTS = 2  # of a container that never becomes ready
TOKEN = "a-token-of-the-fake-cluster"  # noqa: S105
KINDS = {plural: kind for kind, (_, plural) in COLLECTIONS.items()}
PATH = re.compile(
    r"(?P<root>/apis?/[\w./]+?)/namespaces/(?P<ns>[\w-]+)/(?P<plural>\w+)(/(?P<name>[^/]+))?(?P<rest>/.*)?"
)
_STR, _NAME = {"type": "string"}, {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
_REF = {"name": _NAME, "namespace": _NAME, "port": {"type": "integer", "minimum": 1, "maximum": 65535}}


def _closed(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": dict(properties)}


# What we write of https://gateway-api.sigs.k8s.io/reference/spec/#httproute; it is in no package.
HTTP_ROUTE = _closed({
    "apiVersion": {"const": "gateway.networking.k8s.io/v1"},
    "kind": {"const": "HTTPRoute"},
    "metadata": {"type": "object"},
    "status": {"type": "object"},
    "spec": _closed({
        "parentRefs": {"type": "array", "maxItems": 32, "items": _closed({"name": _STR, "namespace": _NAME}, "name")},
        "hostnames": {"type": "array", "maxItems": 16, "items": _STR},
        "rules": {"type": "array", "minItems": 1, "maxItems": 16, "items": _closed({
            "backendRefs": {"type": "array", "maxItems": 16, "items": _closed(
                {**_REF, "weight": {"type": "integer", "minimum": 0, "maximum": 1_000_000}}, "name", "port")},
            "filters": {"type": "array", "items": _closed({
                "type": {"const": "RequestMirror"},
                "requestMirror": _closed({"backendRef": _closed(_REF, "name", "port")}, "backendRef"),
            }, "type", "requestMirror")},
        })},
    }),
}, "apiVersion", "kind", "metadata", "spec")  # fmt: skip


class Refusal(Exception):
    """An answer of the API that is an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


class FakeCluster:
    """The API server and the kubelet.

    Args:
        images: bundles by the reference of their image; any other image cannot be pulled.

    Attributes:
        log: method and path of each request that changes something.
        forbidden: (method, kind) that the account has no right to.
        away: the API server answers 503.
        hiccups: of all requests, the share that is cut off, put off or fails.
        undefined: kinds that no definition of a custom resource names.
        slices_lag: the controller of EndpointSlices does not follow.
    """

    def __init__(self, folder: Path, images: Mapping[str, Bundle]) -> None:
        self.folder, self.images = folder, dict(images)
        self.store: dict[tuple[str, str], dict[str, Any]] = {}
        self.log: list[tuple[str, str]] = []
        self.forbidden: set[tuple[str, str]] = set()
        self.undefined: set[str] = set()
        self.away = self.slices_lag = False
        self.hiccups = 0.0
        self.lock = threading.RLock()
        self.processes: dict[str, tuple[subprocess.Popen[bytes], int]] = {}
        self.starts: Counter[str] = Counter()
        self.ending: dict[str, float] = {}
        self.kserve = KServeController(self.act, functools.partial(self.write_status, "InferenceService"))
        self._version, self._end = 100, threading.Event()
        self.client = httpx.Client(trust_env=False, verify=False, timeout=30)

    @contextmanager
    def running(self) -> Iterator[FakeCluster]:
        """Serve, and run pods, while the block lasts."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        threads = [threading.Thread(target=server.serve_forever), threading.Thread(target=self._kubelet)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()
            server.shutdown()
            for thread in threads:
                thread.join()
            server.server_close()
            for process, _ in self.processes.values():
                containers.kill(process)
            self.client.close()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig file for the cluster."""
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": TOKEN}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(document))
        return path

    # the API

    def act(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        """One request of a controller of the cluster, which is not logged; None: there is no such object."""
        with self.lock:
            known = len(self.log)
            try:
                return self.request(method, path, body)
            except Refusal as refusal:
                if refusal.code == 404:
                    return None
                raise
            finally:
                del self.log[known:]

    def write_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Write the status of an object."""
        with self.lock:
            self.save({**self.store[kind, name], "status": status})

    def request(self, method: str, path: str, body: Any) -> dict[str, Any]:
        """One request of JSON."""
        parts = urlsplit(path)
        match = PATH.fullmatch(parts.path)
        if match is None or match["plural"] not in KINDS or COLLECTIONS[KINDS[match["plural"]]][0] != match["root"]:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        kind, name = KINDS[match["plural"]], match["name"]
        if kind in self.undefined:
            raise Refusal(404, "", "404 page not found")
        if (method, kind) in self.forbidden:
            raise Refusal(403, "Forbidden", f'{match["plural"]} is forbidden: User "fake" cannot {method}')
        with self.lock:
            if method != "GET":
                self.log.append((method, parts.path))
            if method == "POST":
                return self._create(kind, body)
            if name is None:
                chosen = parse_qs(parts.query).get("labelSelector", [""])[0]
                pairs = [part.partition("=") for part in chosen.split(",") if part]
                found = self.found(kind, {label: value for label, equals, value in pairs if equals})
                names = {label for label, equals, _ in pairs if not equals}
                items = [one for one in found if names <= (one["metadata"].get("labels") or {}).keys()]
                for one in items:  # items of a list do not say their kind
                    one.pop("kind"), one.pop("apiVersion", None)
                return {"kind": f"{kind}List", "items": items}
            if (kind, name) not in self.store:
                raise Refusal(404, "NotFound", f'{match["plural"]} "{name}" not found')
            if method == "PATCH":
                return self._patch(kind, name, body)
            if method == "DELETE":
                return self._delete(kind, name, body or {})
            return copy.deepcopy(self.store[kind, name])

    def found(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects with these labels."""
        with self.lock:
            return [
                copy.deepcopy(one)
                for (other, _), one in self.store.items()
                if other == kind and labels.items() <= (one["metadata"].get("labels") or {}).items()
            ]

    def save(self, document: dict[str, Any]) -> dict[str, Any]:
        """Keep an object under a new version."""
        with self.lock:
            self._version += 1
            document["metadata"]["resourceVersion"] = str(self._version)
            self.store[document["kind"], document["metadata"]["name"]] = document
            return copy.deepcopy(document)

    def _create(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        _validate(document)
        if (kind, document["metadata"]["name"]) in self.store:
            raise Refusal(409, "AlreadyExists", f"{kind} {document['metadata']['name']} already exists")
        document["metadata"] |= {"namespace": "models", "uid": str(uuid.uuid4()), "generation": 1}
        return self.save(_encoded(document))

    def _patch(self, kind: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        present = self.store[kind, name]
        version = (change.get("metadata") or {}).get("resourceVersion")
        if version not in (None, present["metadata"]["resourceVersion"]):
            raise Refusal(409, "Conflict", "the object has been modified")
        changed = _encoded(_merged(present, change))
        _validate(changed)
        if kind == "Deployment" and changed["spec"]["selector"] != present["spec"]["selector"]:
            raise Refusal(422, "Invalid", "spec.selector: field is immutable")
        changed["metadata"]["generation"] += changed["spec"] != present["spec"] if "spec" in changed else 0
        return self.save(changed)

    def _delete(self, kind: str, name: str, options: dict[str, Any]) -> dict[str, Any]:
        version = (options.get("preconditions") or {}).get("resourceVersion")
        if version not in (None, self.store[kind, name]["metadata"]["resourceVersion"]):
            raise Refusal(409, "Conflict", "the precondition fails")
        self.store.pop((kind, name))
        return {"kind": "Status", "status": "Success"}

    def proxy(self, pod: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A request to a pod, without `Authorization`, as the API server passes it on."""
        process = self.processes.get(pod)
        if process is None:
            return httpx.Response(503, json={"kind": "Status", "message": f"no endpoints available for {pod}"})
        kept = {k: v for k, v in headers.items() if k.lower() not in ("authorization", "host", "content-length")}
        try:
            return self.client.request(
                method, f"http://127.0.0.1:{process[1]}{path}", headers=kept, content=body or None
            )
        except httpx.HTTPError as error:
            return httpx.Response(502, json={"kind": "Status", "message": repr(error)})

    def kill(self, pod: str) -> None:
        """Kill every process of a pod."""
        containers.kill(self.processes[pod][0])

    # who asks a Service, or a Gateway

    def ask(self, model: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request to a model."""
        route = self.store.get(("HTTPRoute", model))
        return self.ask_route(route, path, headers, body) if route else self.ask_service(model, path, headers, body)

    def ask_service(self, name: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request through a Service: any pod of its slices, as kube-proxy chooses."""
        ready = sorted(answering(self.found("EndpointSlice", {SERVICE_LABEL: name})))
        if not ready:
            return httpx.Response(503, text="no endpoints")
        return self.proxy(DICE.choice(ready), "POST", path, headers, body)

    def ask_route(self, route: Mapping[str, Any], path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request through a Gateway: a backend by the weights, and a copy to the mirror."""
        [rule] = route["spec"]["rules"]
        for one in rule.get("filters", []):
            self.ask_service(one["requestMirror"]["backendRef"]["name"], path, headers, body)
        backends = rule["backendRefs"]
        [chosen] = DICE.choices(backends, [one["weight"] for one in backends])
        return self.ask_service(chosen["name"], path, headers, body)

    # the kubelet, and the controller of Deployments

    def _kubelet(self) -> None:
        while not self._end.wait(0.1):
            with self.lock:
                deployments = {n: copy.deepcopy(d) for (kind, n), d in self.store.items() if kind == "Deployment"}
                pods = [copy.deepcopy(pod) for (kind, _), pod in self.store.items() if kind == "Pod"]
            for name, deployment in deployments.items():
                own = [pod for pod in pods if _owner(pod) == deployment["metadata"]["uid"]]
                self._scale(name, deployment, own)
                self._count(name, own)
            for pod in pods:
                if _owner(pod) not in [one["metadata"]["uid"] for one in deployments.values()]:
                    self._remove(pod)
                else:
                    self._observe(pod)
            self._follow_services()
            self.kserve.step()

    def _follow_services(self) -> None:
        """The controllers of EndpointSlices, and of the Gateway."""
        with self.lock:
            services = {name: copy.deepcopy(one) for (kind, name), one in self.store.items() if kind == "Service"}
            for name, service in services.items():
                found = [_endpoint(pod) for pod in self.found("Pod", service["spec"]["selector"])]
                labels = {**(service["metadata"].get("labels") or {}), SERVICE_LABEL: name}
                known = self.store.get(("EndpointSlice", name))
                if self.slices_lag or (known is not None and known["endpoints"] == found):
                    continue
                self.save({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": name, "labels": labels},
                    "endpoints": found, "ports": [{"name": "http", "port": 3000, "protocol": "TCP"}],
                })  # fmt: skip
            for kind, name in list(self.store):
                if kind == "EndpointSlice" and name not in services:
                    self.store.pop((kind, name))
            for route in [one for (kind, _), one in self.store.items() if kind == "HTTPRoute"]:
                generation = route["metadata"]["generation"]
                if (
                    "status" not in route
                    or route["status"]["parents"][0]["conditions"][0]["observedGeneration"] != generation
                ):
                    said = [
                        {
                            "type": type,
                            "status": "True",
                            "reason": type,
                            "message": "",
                            "observedGeneration": generation,
                            "lastTransitionTime": "2026-01-01T00:00:00Z",
                        }
                        for type in ("Accepted", "ResolvedRefs")
                    ]
                    parent = {"parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/fake"}
                    self.save({**route, "status": {"parents": [{**parent, "conditions": said}]}})

    def _scale(self, name: str, deployment: dict[str, Any], own: list[dict[str, Any]]) -> None:
        """As many pods of the present template as there are to be; one more while those of another one are replaced."""
        due, template = deployment["spec"].get("replicas", 1), deployment["spec"]["template"]["spec"]
        living = [pod for pod in own if "deletionTimestamp" not in pod["metadata"]]
        fresh = [pod for pod in living if pod["spec"] == template]
        stale = [pod for pod in living if pod["spec"] != template]
        for _ in range(due - len(fresh) if not stale else min(due - len(fresh), due + 1 - len(living))):
            self._begin(name, deployment)
        spare = sum(map(_is_serving, living)) - due
        going = [pod for pod in stale if not _is_serving(pod)] + [pod for pod in stale if _is_serving(pod)][
            : max(0, spare)
        ]
        for pod in [*going, *fresh[due:], *(pod for pod in own if pod not in living)]:
            self._remove(pod)

    def _count(self, name: str, pods: list[dict[str, Any]]) -> None:
        """Write the status of a Deployment."""
        with self.lock:
            present = self.store.get(("Deployment", name))
            status = {"replicas": len(pods), "readyReplicas": sum(_is_serving(pod) for pod in pods)}
            if present is not None and present.get("status") != status:
                self.save({**present, "status": status})

    def _begin(self, owner: str, deployment: dict[str, Any]) -> None:
        name = f"{owner}-{uuid.uuid4().hex[:5]}"
        template = deployment["spec"]["template"]
        pod = {
            "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {**copy.deepcopy(template["metadata"]), "name": name, "namespace": "models",
                         "ownerReferences": [{"kind": "ReplicaSet", "uid": deployment["metadata"]["uid"]}]},
            "status": {"phase": "Pending", "conditions": []},
        }  # fmt: skip
        self._run(pod)
        self.save(pod)

    def _run(self, pod: dict[str, Any]) -> None:
        """Start the process of a pod's container, as the image's entry point does."""
        [container], name = pod["spec"]["containers"], pod["metadata"]["name"]
        bundle = self.images.get(container["image"])
        if bundle is None:
            state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling {container['image']}"}}
            pod["status"]["containerStatuses"] = [{"name": container["name"], "ready": False, "state": state}]
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = containers.start(bundle, pod, self.folder / name, ("127.0.0.1", port), self._secret)
        self.processes[name] = (process, port)

    def _secret(self, name: str) -> dict[str, bytes]:
        return {file: base64.b64decode(value) for file, value in self.store["Secret", name]["data"].items()}

    def _observe(self, pod: dict[str, Any]) -> None:
        known = self.processes.get(pod["metadata"]["name"])
        if known is None:
            return
        process, port = known
        if process.poll() is not None:  # restartPolicy: Always
            self.starts[pod["metadata"]["name"]] += 1
            if self.starts[pod["metadata"]["name"]] <= MOST_STARTS:
                self._run(pod)
            else:
                waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
                ended = {"terminated": {"exitCode": process.returncode}}
                state = {"name": "model", "ready": False, "state": {"waiting": waiting}, "lastState": ended}
                pod["status"] |= {"containerStatuses": [state], "conditions": [{"type": "Ready", "status": ""}]}
        try:
            ready = self.client.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            ready = False
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        if conditions != pod["status"]["conditions"]:
            pod["status"] |= {"phase": "Running", "conditions": conditions}
            with self.lock:
                if ("Pod", pod["metadata"]["name"]) in self.store:
                    self.save(pod)

    def _remove(self, pod: dict[str, Any]) -> None:
        """Take a pod out of its Services, end its process after the `preStop` hook; it is gone once the process is."""
        name = pod["metadata"]["name"]
        known = self.processes.get(name)
        if "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
            self.save(pod)
            self.ending[name] = time.monotonic() + PRE_STOP_SECONDS
        elif known is None or known[0].poll() is not None:
            self.processes.pop(name, None)
            with self.lock:
                self.store.pop(("Pod", name), None)
        elif time.monotonic() > self.ending.get(name, float("inf")):
            self.ending.pop(name)
            known[0].terminate()


def _endpoint(pod: dict[str, Any]) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/"""
    serving = _is_serving(pod)
    ending = "deletionTimestamp" in pod["metadata"]
    return {
        "addresses": ["127.0.0.1"],
        "conditions": {"ready": serving and not ending, "serving": serving, "terminating": ending},
        "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": "models"},
    }


def _is_serving(pod: dict[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])


def _owner(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _validate(document: dict[str, Any]) -> None:
    try:
        if document["kind"] == "HTTPRoute":
            jsonschema.validate(document, HTTP_ROUTE)
        elif document["kind"] == "InferenceService":
            kserve_schema.validate(document)
        else:
            kubernetes_validate.validate(document, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as error:
        raise Refusal(422, "Invalid", str(error)[:400]) from error
    for name, value in (document["metadata"].get("labels") or {}).items():
        if not re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value):
            raise Refusal(422, "Invalid", f"label {name}: {value}")


def _encoded(document: dict[str, Any]) -> dict[str, Any]:
    """`stringData` of a Secret is written, never read."""
    for key, value in document.pop("stringData", {}).items():
        document.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()
    return document


def _merged(present: Any, change: Any) -> Any:
    """https://www.rfc-editor.org/rfc/rfc7386"""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    found = dict(copy.deepcopy(present)) if isinstance(present, dict) else {}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _merged(found.get(key), value)
    return found


def _handler(cluster: FakeCluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *words: Any) -> None:
            """Nothing."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxied = re.fullmatch(r".*/pods/([^/:]+):(\d+)/proxy(/.*)", unquote(self.path))
            hiccup = DICE.choice((0, 429, 500)) if DICE.random() < cluster.hiccups else None
            if hiccup == 0:
                self.close_connection = True  # without an answer
            elif hiccup is not None:
                message = {"kind": "Status", "message": "for a moment", "code": hiccup}
                self._send(hiccup, {"content-type": "application/json"}, json.dumps(message).encode())
            elif cluster.away:
                self._send(503, {"content-type": "text/plain"}, b"apiserver is away")
            elif self.path == "/readyz":
                self._send(200, {"content-type": "text/plain"}, b"ok")
            elif self.headers.get("authorization") != f"Bearer {TOKEN}":
                self._send(401, {}, b'{"kind": "Status", "message": "Unauthorized"}')
            elif proxied and ("GET", "Pod/proxy") not in cluster.forbidden:
                answer = cluster.proxy(proxied[1], self.command, proxied[3], dict(self.headers), body)
                self._send(answer.status_code, dict(answer.headers), answer.content)
            else:
                self._api(body)

        def _api(self, body: bytes) -> None:
            media = "application/json"
            try:
                found, code = cluster.request(self.command, self.path, json.loads(body) if body else None), 200
            except Refusal as refusal:
                found = {"kind": "Status", "reason": refusal.reason, "message": str(refusal), "code": refusal.code}
                code = refusal.code
                media = "application/json" if refusal.reason else "text/plain"  # of a path that nothing serves
            content = json.dumps(found) if media == "application/json" else f"{found['message']}\n"
            self._send(code, {"content-type": media}, content.encode())

        def _send(self, code: int, headers: Mapping[str, str], content: bytes) -> None:
            self.send_response(code)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  # as http.server calls them

    return Handler
