"""Two nodes of a real control plane: a kubelet whose pods are processes of bundles, and what kube-proxy does.

The controllers of a Gateway and of KServe, which are no part of Kubernetes, are stand-ins too.

The kubelet is a client of the API: it registers nodes, renews their leases, starts what the scheduler has bound to
them, probes it, writes the status of pods, and ends them after their `preStop` hook.
"""

from __future__ import annotations

import base64
import itertools
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from components.packaging.bundle import Bundle
from flows.serving_targets.cluster_api import MERGE
from flows.serving_targets.cluster_endpoints import SERVICE_LABEL, answering
from tests.serving_targets import containers
from tests.serving_targets.control_plane import ControlPlane
from tests.serving_targets.kserve_controller import SERVICES, KServeController

NAMES = ("node-a", "node-b")
PORT = 3000
LEASE_SECONDS = 10.0
MOST_STARTS = 2
STATUS_PATCH = "application/strategic-merge-patch+json"
PODS = "/api/v1/namespaces/models/pods"
ROUTES = "/apis/gateway.networking.k8s.io/v1/namespaces/models/httproutes"


class Nodes:
    """The nodes.

    Args:
        images: bundles by the reference of their image; any other image cannot be pulled.
        slices: path of the collection of EndpointSlices, which the API server's version decides.
    """

    def __init__(self, plane: ControlPlane, folder: Path, images: Mapping[str, Bundle], slices: str) -> None:
        self.plane, self.folder, self.images, self.slices = plane, folder, dict(images), slices
        self.processes: dict[str, tuple[subprocess.Popen[bytes], str]] = {}
        self.starts: Counter[str] = Counter()
        self.ending: dict[str, float] = {}
        self.problems: Counter[str] = Counter()
        self.kserve = KServeController(self._request, self._write_kserve)
        self._addresses = (f"10.252.{high}.{low}" for high, low in itertools.product(range(256), range(1, 255)))
        self._end, self._dice = threading.Event(), random.Random(0)  # noqa: S311
        self._client = httpx.Client(trust_env=False, timeout=30)

    @contextmanager
    def running(self) -> Iterator[Nodes]:
        """Be a part of the cluster while the block lasts."""
        for name in NAMES:
            self._register(name)
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()
            for process, _ in self.processes.values():
                containers.kill(process)
            self._client.close()

    def kill(self, pod: str) -> None:
        """Kill every process of a pod."""
        containers.kill(self.processes[pod][0])

    def ask_service(self, name: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request through a Service: to any pod of its EndpointSlices."""
        found = self.plane.admin("GET", f"{self.slices}?labelSelector={SERVICE_LABEL}={name}") or {}
        pods = sorted(answering(found["items"]) & set(self.processes))
        if not pods:
            return httpx.Response(503, text="no endpoints")
        address = self.processes[self._dice.choice(pods)][1]
        return self._client.post(f"http://{address}:{PORT}{path}", headers=dict(headers), content=body)

    def ask_route(self, route: Mapping[str, Any], path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request through a Gateway: to a backend by the weights, and a copy to the mirror."""
        [rule] = route["spec"]["rules"]
        for one in rule.get("filters", []):
            self.ask_service(one["requestMirror"]["backendRef"]["name"], path, headers, body)
        [chosen] = self._dice.choices(rule["backendRefs"], [one["weight"] for one in rule["backendRefs"]])
        return self.ask_service(chosen["name"], path, headers, body)

    def _take_over_routes(self) -> None:
        """What the controller of a Gateway says of its routes."""
        for route in (self.plane.admin("GET", ROUTES) or {"items": []})["items"]:
            generation = route["metadata"]["generation"]
            parents = (route.get("status") or {}).get("parents") or []
            if not parents or parents[0]["conditions"][0]["observedGeneration"] != generation:
                said = [{"type": type, "status": "True", "reason": type, "message": "", "lastTransitionTime": _now(),
                         "observedGeneration": generation} for type in ("Accepted", "ResolvedRefs")]  # fmt: skip
                parent = {"parentRef": route["spec"]["parentRefs"][0], "controllerName": "example.com/test"}
                status = {"parents": [{**parent, "conditions": said}]}
                place = f"{ROUTES}/{route['metadata']['name']}/status"
                self.plane.admin("PATCH", place, {"status": status}, MERGE)

    def _run(self) -> None:
        renewed = 0.0
        while not self._end.wait(0.1):
            try:
                if time.monotonic() - renewed > LEASE_SECONDS:
                    renewed = time.monotonic()
                    for name in NAMES:
                        self._renew(name)
                found = self.plane.admin("GET", PODS) or {}
                for pod in found["items"]:
                    if pod["spec"].get("nodeName") in NAMES:
                        self._sync(pod)
                self._take_over_routes()
                self.kserve.step()
            except httpx.HTTPError:  # the API server is away: what runs goes on
                continue
            except (AssertionError, KeyError, OSError, ValueError) as error:  # shown at the end
                self.problems[repr(error)] += 1

    def _request(self, method: str, path: str, body: Any) -> dict[str, Any] | None:
        return self.plane.admin(method, path, body, MERGE if method == "PATCH" else "application/json")

    def _write_kserve(self, name: str, status: dict[str, Any]) -> None:
        self.plane.admin("PATCH", f"{SERVICES}/{name}/status", {"status": status}, MERGE)

    def _sync(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        known = self.processes.get(name)
        if "deletionTimestamp" in pod["metadata"]:
            self._finish(pod)
        elif known is None or known[0].poll() is not None:
            self._begin(pod)
        else:
            self._probe(pod)

    def _begin(self, pod: dict[str, Any]) -> None:
        """Start the container, or say why it does not run."""
        [container], name = pod["spec"]["containers"], pod["metadata"]["name"]
        bundle = self.images.get(container["image"])
        if bundle is None:
            reason, message = "ImagePullBackOff", f"Back-off pulling image {container['image']}"
            return self._write(pod, {"waiting": {"reason": reason, "message": message}}, ready=False)
        known = self.processes.get(name)
        if known is not None and self.starts[name] >= MOST_STARTS:
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}
            return self._write(pod, {"waiting": waiting}, ready=False, ended=known[0].returncode)
        self.starts[name] += known is not None
        address = known[1] if known is not None else next(self._addresses)
        process = containers.start(bundle, pod, self.folder / name, (address, PORT), self._secret)
        self.processes[name] = (process, address)
        self._write(pod, {"running": {"startedAt": _now()}}, ready=False)
        return None

    def _secret(self, name: str) -> dict[str, bytes]:
        found = self.plane.admin("GET", f"/api/v1/namespaces/models/secrets/{name}") or {}
        return {file: base64.b64decode(value) for file, value in found["data"].items()}

    def _probe(self, pod: dict[str, Any]) -> None:
        address = self.processes[pod["metadata"]["name"]][1]
        try:
            ready = self._client.get(f"http://{address}:{PORT}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            ready = False
        self._write(pod, {"running": {"startedAt": pod["status"].get("startTime") or _now()}}, ready=ready)

    def _finish(self, pod: dict[str, Any]) -> None:
        """The `preStop` hook, SIGTERM, and the end."""
        name = pod["metadata"]["name"]
        known = self.processes.get(name)
        if known is None or known[0].poll() is not None:
            self.processes.pop(name, None)
            self.plane.admin("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})
            return
        [container] = pod["spec"]["containers"]
        hook = (container.get("lifecycle") or {}).get("preStop") or {}
        seconds = hook["sleep"]["seconds"] if "sleep" in hook else float(hook["exec"]["command"][1]) if hook else 0.0
        due = self.ending.setdefault(name, time.monotonic() + seconds)
        if due != 0.0 and time.monotonic() > due:
            self.ending[name] = 0.0
            known[0].terminate()

    def _write(self, pod: dict[str, Any], state: dict[str, Any], *, ready: bool, ended: int | None = None) -> None:
        """Write the status of a pod where it differs."""
        name, now = pod["metadata"]["name"], _now()
        [container] = pod["spec"]["containers"]
        present = {one["type"]: one["status"] for one in pod["status"].get("conditions") or []}
        former = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {})
        said = "True" if ready else "False"
        if present.get("Ready") == said and former.keys() == state.keys():
            return
        address = self.processes[name][1] if name in self.processes else None
        types = {"Initialized": "True", "ContainersReady": said, "Ready": said}
        status: dict[str, Any] = {
            "phase": "Running" if "running" in state else "Pending",
            "startTime": pod["status"].get("startTime") or now,
            "conditions": [{"type": key, "status": value, "lastTransitionTime": now} for key, value in types.items()],
            "containerStatuses": [{
                "name": container["name"], "image": container["image"], "imageID": container["image"], "ready": ready,
                "restartCount": self.starts[name], "state": state,
                **({"lastState": {"terminated": {"exitCode": ended}}} if ended is not None else {}),
            }],
        }  # fmt: skip
        if address is not None:
            status |= {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.250.0.1"}
        self.plane.admin("PATCH", f"{PODS}/{name}/status", {"status": status}, STATUS_PATCH)

    def _register(self, name: str) -> None:
        size = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "512Gi"}
        conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now(),
                       "lastTransitionTime": _now(), "message": ""}]  # fmt: skip
        document = {"apiVersion": "v1", "kind": "Node",
                    "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}  # fmt: skip
        self.plane.admin("POST", "/api/v1/nodes", document)
        status = {"capacity": size, "allocatable": size, "conditions": conditions}
        self.plane.admin("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, STATUS_PATCH)

    def _renew(self, name: str) -> None:
        """https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats"""
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}
        if self.plane.admin("PATCH", f"{leases}/{name}", {"spec": spec}, MERGE) is None:
            document = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": name},
                "spec": spec,
            }
            self.plane.admin("POST", leases, document)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
