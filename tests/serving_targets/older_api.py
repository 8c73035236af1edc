"""What Modelyard writes for Kubernetes 1.30, in the words of an older API server; only for tests against one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from flows.serving_targets.cluster_api import COLLECTIONS, ClusterApi, Document

# By kind: the group, the version that Modelyard uses, the one before it, the minor release that brought the former.
FORMER = {
    "PodDisruptionBudget": ("policy", "v1", "v1beta1", 21),
    "EndpointSlice": ("discovery.k8s.io", "v1", "v1beta1", 21),
    "HorizontalPodAutoscaler": ("autoscaling", "v2", "v2beta2", 23),
}


def adapt(monkeypatch: pytest.MonkeyPatch, minor: int) -> list[str]:
    """Have `ClusterApi` write what an API server of Kubernetes 1.`minor` knows; returns what is written otherwise."""
    changes = []
    for kind, (group, version, former, since) in FORMER.items():
        if minor < since:
            monkeypatch.setitem(COLLECTIONS, kind, (f"/apis/{group}/{former}", COLLECTIONS[kind][1]))
            changes.append(f"{kind} {group}/{former} for {version}")
    if minor < 27:
        changes.append("no unhealthyPodEvictionPolicy")
    if minor < 29:
        changes.append("preStop.exec for preStop.sleep")
    create = ClusterApi.create

    def create_older(api: ClusterApi, document: Document) -> Document:
        return create(api, _older(document, minor))

    if changes:
        monkeypatch.setattr(ClusterApi, "create", create_older)
    return changes


def _older(document: Document, minor: int) -> dict[str, Any]:
    found = copy.deepcopy(document)
    kind = found["kind"]
    if kind in FORMER:
        found["apiVersion"] = COLLECTIONS[kind][0].removeprefix("/apis/")
    if kind == "PodDisruptionBudget" and minor < 27:
        del found["spec"]["unhealthyPodEvictionPolicy"]
    if kind == "Deployment" and minor < 29:
        for container in found["spec"]["template"]["spec"]["containers"]:
            seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(seconds)]}}}
    return found
