"""What Modelyard writes for Kubernetes 1.30, in the words of an older API server: a proxy for tests against one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import getitem
from typing import Any

import httpx

from flows.serving_targets.cluster_api import COLLECTIONS
from tests.serving_targets.control_plane import ControlPlane

# By kind: the group, the version that Modelyard uses, the one before it, the minor release that brought the former.
FORMER = {
    "PodDisruptionBudget": ("policy", "v1", "v1beta1", 21),
    "EndpointSlice": ("discovery.k8s.io", "v1", "v1beta1", 21),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "v2beta2", 23),
}
SKIPPED = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding", "date"}
PODS = {"Deployment": ("template", "spec"), "InferenceService": ("predictor",)}


def changes(minor: int) -> list[str]:
    """What is written otherwise for Kubernetes 1.`minor`."""
    older = [f"{kind} {group}/{former}" for kind, (group, _, former, since) in FORMER.items() if minor < since]
    return [
        *older,
        *(["no unhealthyPodEvictionPolicy"] if minor < 27 else []),
        *(["preStop.exec for preStop.sleep"] if minor < 29 else []),
    ]


def collection(kind: str, minor: int) -> str:
    """The path of the objects of a kind."""
    root, plural = COLLECTIONS[kind]
    return f"{_older_path(root, minor)}/namespaces/models/{plural}"


@contextmanager
def proxy(plane: ControlPlane, minor: int) -> Iterator[str]:
    """The URL of an API server that takes what Modelyard writes, while the block lasts."""
    if not changes(minor):
        yield plane.url
        return
    with plane.client() as client:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(plane, minor, client))
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _older_path(path: str, minor: int) -> str:
    for group, version, former, since in FORMER.values():
        if minor < since:
            path = path.replace(f"/apis/{group}/{version}", f"/apis/{group}/{former}")
    return path


def _older(found: dict[str, Any], minor: int) -> dict[str, Any]:
    kind = found.get("kind", "")
    if kind in FORMER:
        found["apiVersion"] = _older_path(f"/apis/{found['apiVersion']}", minor).removeprefix("/apis/")
    if kind == "PodDisruptionBudget" and minor < 27:
        found["spec"].pop("unhealthyPodEvictionPolicy", None)
    if kind in PODS and minor < 29:
        for container in reduce(getitem, PODS[kind], found["spec"])["containers"]:
            seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}
    return found


def _handler(plane: ControlPlane, minor: int, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *words: Any) -> None:
            """Nothing."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.command == "POST" and "/proxy/" not in self.path:
                body = json.dumps(_older(json.loads(body), minor)).encode()
            headers = {name: value for name, value in self.headers.items() if name.lower() not in SKIPPED}
            try:
                answer = client.request(
                    self.command, plane.url + _older_path(self.path, minor), headers=headers, content=body or None
                )
                code, named, content = answer.status_code, dict(answer.headers), answer.content
            except httpx.HTTPError as error:
                code, named, content = 502, {}, repr(error).encode()
            self.send_response(code)
            for name, value in named.items():
                if name.lower() not in SKIPPED:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815  # as http.server calls them

    return Handler
