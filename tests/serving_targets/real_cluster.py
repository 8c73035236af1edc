"""A real control plane with two nodes, as the cases have it: a plugin of pytest with the fixture `site`.

Modelyard acts as a service account with the Role of docs/kubernetes.md; each of its requests is in the audit log.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.serving_targets import cluster_api
from tests.serving_targets import custom_resources, older_api
from tests.serving_targets.cluster_site import ROOT, Site, prepare, use_kubeconfig
from tests.serving_targets.control_plane import ControlPlane
from tests.serving_targets.nodes import ROUTES, Nodes

USER = "system:serviceaccount:models:modelyard"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/models"
ACCOUNT = "/api/v1/namespaces/models/serviceaccounts"
# https://kubernetes.io/docs/concepts/security/pod-security-standards/; older API servers keep the labels, and no more
STANDARD = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
DISAPPROVED = ("k8s.io/deprecated", "pod-security.kubernetes.io/audit-violations")  # annotations of audited requests
Used = set[tuple[str, str, str]]  # API group, resource, verb


@dataclass
class RealCluster:
    """A control plane with nodes.

    Attributes:
        used: what Modelyard was allowed, and has asked for.
        refused: verb and object of what it was not.
        disapproved: what the API server says against a request that it carries out.
    """

    plane: ControlPlane
    nodes: Nodes
    minor: int
    used: Used = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)
    disapproved: list[str] = field(default_factory=list)

    def ask(self, model: str, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """A client's request through the model's route, else its Service."""
        route = self.plane.admin("GET", f"{ROUTES}/{model}")
        if route is not None:
            return self.nodes.ask_route(route, path, headers, body)
        return self.nodes.ask_service(model, path, headers, body)

    def found(self, kind: str, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The objects with these labels."""
        chosen = ",".join(f"{name}={value}" for name, value in labels.items())
        found = self.plane.admin("GET", f"{older_api.collection(kind, self.minor)}?labelSelector={chosen}") or {}
        items: list[dict[str, Any]] = found["items"]
        return items

    def requests(self) -> list[tuple[str, str]]:
        """What Modelyard has asked since the last call: verb and object."""
        found = []
        for event in self.plane.requests(USER):
            about = event.get("objectRef")
            if about is None:  # whether the API server is ready
                continue
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            named = f"{resource}/{about.get('name', '')}"
            said = event.get("annotations") or {}
            self.disapproved += [f"{event['verb']} {named}: {key} {said[key]}" for key in DISAPPROVED if key in said]
            if said.get("authorization.k8s.io/decision") == "forbid":
                self.refused.add((event["verb"], named))
            else:
                self.used.add((about.get("apiGroup", ""), resource, event["verb"]))
            found.append((event["verb"], named))
        return found

    def changes(self) -> list[tuple[str, str]]:
        """What Modelyard has changed since the last call, but the noting of decisions on Deployments."""
        changed = [(verb, about) for verb, about in self.requests() if verb in ("create", "patch", "delete")]
        return [(verb, about) for verb, about in changed if not about.startswith(("deployments/", "pods/proxy"))]


def role() -> dict[str, Any]:
    """The Role of the docs."""
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    found: dict[str, Any] = yaml.safe_load(text.partition("## Rights")[2].partition("```text\n")[2].partition("```")[0])
    return found


def account(plane: ControlPlane) -> str:
    """Make the namespace, and the account of Modelyard with its Role; returns a token of it."""
    plane.admin("POST", "/api/v1/namespaces", {"metadata": {"name": "models", "labels": STANDARD}})
    plane.admin("POST", ACCOUNT, {"metadata": {"name": "modelyard"}})
    plane.admin("POST", f"{RBAC}/roles", role())
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "modelyard"}
    subject = {"kind": "ServiceAccount", "name": "modelyard", "namespace": "models"}
    binding = {"metadata": {"name": "modelyard"}, "roleRef": reference, "subjects": [subject]}
    plane.admin("POST", f"{RBAC}/rolebindings", binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": []}}
    found = plane.admin("POST", f"{ACCOUNT}/modelyard/token", request) or {}
    return str(found["status"]["token"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("site")
    project, bundles, packages, images = prepare(base)
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        tempfile.TemporaryDirectory(prefix="pods-", dir="/tmp") as pods,
        tempfile.TemporaryDirectory(prefix="plane-", dir="/tmp") as folder,
        ControlPlane(Path(folder)).running() as plane,
        ExitStack() as processes,
    ):
        _, minor = plane.version()
        print(f"Kubernetes 1.{minor}: {older_api.changes(minor) or 'as Modelyard writes it'}")
        custom_resources.define(plane)
        url = processes.enter_context(older_api.proxy(plane, minor))
        use_kubeconfig(monkeypatch, plane.kubeconfig(base / "kubeconfig", account(plane), url))
        slices = older_api.collection("EndpointSlice", minor)
        with Nodes(plane, Path(pods), images, slices).running() as nodes:
            found = Site(project, RealCluster(plane, nodes, minor), bundles, packages)
            found.configure("max_replicas = 4\n")
            yield found
            found.target.api._client.rest_client.pool_manager.clear()
        assert not nodes.problems, nodes.problems
    cluster_api.connect.cache_clear()
