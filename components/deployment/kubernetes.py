"""Manifests for Kubernetes 1.30 and later (`preStop.sleep`): one file an object, and a kustomization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.deployment import pod
from components.deployment.container import PORT, DeploymentOptions, digests, labels, selector
from components.deployment.resources import REPLICA_SCALING_PERCENT, ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.yaml_text import render

CONTAINER = "model"


def files(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, str]:
    """The manifests by file name."""
    manifests = {
        "serviceaccount.yaml": service_account(facts),
        "deployment.yaml": deployment(facts, options, resources),
        "service.yaml": _service(facts, options),
        "horizontalpodautoscaler.yaml": _autoscaler(facts, options),
        "poddisruptionbudget.yaml": _disruption_budget(facts),
        "networkpolicy.yaml": network_policy(facts, options, PORT),
    }
    return with_kustomization(manifests, {"deployment.yaml": resources.notes})


def with_kustomization(manifests: Mapping[str, dict[str, Any]], heads: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Manifests by file name as YAML, and the kustomization.yaml that names them.

    Args:
        heads: comments above a file.
    """
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(manifests),
    }
    texts = {name: render(document, heads.get(name, ())) for name, document in manifests.items()}
    return {**texts, "kustomization.yaml": render(kustomization)}


def metadata(facts: ServiceFacts) -> dict[str, Any]:
    """Name, labels, digests."""
    return {"name": facts.model, "labels": labels(facts), "annotations": digests(facts)}


def service_account(facts: ServiceFacts) -> dict[str, Any]:
    """An account of its own, without a token: the service asks the cluster nothing."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(facts),
        "automountServiceAccountToken": False,
    }


def deployment(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, Any]:
    """The Deployment. It names no number of replicas, which the autoscaler owns."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(facts),
        "spec": {
            "selector": {"matchLabels": selector(facts)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": max(600, 2 * resources.startup_seconds),
            "template": {
                "metadata": {"labels": labels(facts), "annotations": digests(facts)},
                "spec": pod.spec(facts, [pod.container(CONTAINER, facts, options, resources)]),
            },
        },
    }


def _service(facts: ServiceFacts, options: DeploymentOptions) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(facts) | {"name": options.service or facts.model},
        "spec": {
            "type": "ClusterIP",
            "selector": selector(facts),
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}],
        },
    }


def _autoscaler(facts: ServiceFacts, options: DeploymentOptions) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": REPLICA_SCALING_PERCENT}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(facts),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": facts.model},
            "minReplicas": options.replicas,
            "maxReplicas": options.max_replicas,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _disruption_budget(facts: ServiceFacts) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(facts),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(facts)},
        },
    }


def network_policy(facts: ServiceFacts, options: DeploymentOptions, port: int) -> dict[str, Any]:
    """Requests from pods of this namespace and of the named ones; the service itself opens no connection."""
    sources: list[dict[str, Any]] = [{"podSelector": {}}]
    sources += [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
        for namespace in options.ingress_namespaces
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(facts),
        "spec": {
            "podSelector": {"matchLabels": selector(facts)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": sources, "ports": [{"port": port, "protocol": "TCP"}]}],
            "egress": [],
        },
    }
