"""Objects of a cluster that releases make: a Deployment a bundle, and one object that directs the requests to it.

A bundle's Deployment never changes. What directs the requests is the Service's selector, or where a Gateway is named
the weights of an HTTPRoute (https://gateway-api.sigs.k8s.io/reference/spec/): one patch of it is a switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.contracts.kubernetes_settings import MODEL, KubernetesSettings
from components.core.errors import UsageError
from components.deployment import kubernetes, pod
from components.deployment.container import (
    API_KEYS_NAME,
    DeploymentOptions,
    digests,
    labels,
)
from components.deployment.container import PORT as CONTAINER_PORT
from components.deployment.resources import REPLICA_SCALING_PERCENT, ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.identity import digest

MODEL_LABEL, BUNDLE_LABEL, MANAGED_LABEL = (
    "app.kubernetes.io/name",
    "modelyard.bundle",
    "app.kubernetes.io/managed-by",
)
PACKAGE, WORKERS, DECISION = "modelyard.package_digest", "modelyard.workers", "modelyard.decision"
PRODUCTION, STAGED, APPLIED, KEYS, LEDGER, WRITTEN = (
    "modelyard.production",
    "modelyard.staged",
    "modelyard.applied",
    "modelyard.keys",
    "modelyard.ledger",
    "modelyard.written",
)
NOTHING = "none"  # selects no pod
SERVICE_FOLDER = "/tmp/modelyard"  # noqa: S108  # in the container; workers tell each other there that they live
IN_FLIGHT_METRIC = "bentoml_service_request_in_progress"
GATEWAY_API = "gateway.networking.k8s.io/v1"
PORT = 80
LONGEST_NAME = 63


def name_of(model: str, key: str) -> str:
    """The name of a bundle's objects.

    Raises:
        UsageError: it is too long for a DNS label.
    """
    name = f"{model}-{key}"
    if len(name) > LONGEST_NAME:
        raise UsageError(
            "the pipeline's name is too long for the objects of a cluster",
            got=model,
            expected=f"at most {LONGEST_NAME - len(key) - 1} characters",
            next_step="rename the pipeline",
        )
    return name


def selector(model: str, key: str) -> dict[str, str]:
    """The labels of a bundle's pods by which they are found."""
    return {MODEL_LABEL: model, BUNDLE_LABEL: key}


def own_labels(model: str, key: str) -> dict[str, str]:
    """The labels by which a bundle's objects are found."""
    return {**selector(model, key), MANAGED_LABEL: "modelyard"}


def deployment(
    facts: ServiceFacts, image: str, settings: KubernetesSettings, resources: ServiceResources, decision: int
) -> dict[str, Any]:
    """A bundle's Deployment.

    Args:
        decision: number of the ledger's entry for which it is made.
    """
    key = digest.short(facts.bundle_key)
    written = kubernetes.deployment(facts, DeploymentOptions(image, settings.replicas), resources)
    own = {**labels(facts), "app.kubernetes.io/instance": name_of(facts.model, key), BUNDLE_LABEL: key}
    about = {**digests(facts), WORKERS: str(facts.workers)}
    written["metadata"] = {
        "name": name_of(facts.model, key),
        "labels": own,
        "annotations": {**about, DECISION: str(decision)},
    }
    written["spec"] |= {
        "selector": {"matchLabels": selector(facts.model, key)},
        "replicas": settings.replicas,
        "progressDeadlineSeconds": max(int(settings.ready_seconds), resources.startup_seconds + 1),
    }
    written["spec"]["template"] = {
        "metadata": {"labels": own, "annotations": about},
        "spec": _pod(facts, image, settings, resources),
    }
    return written


def _pod(facts: ServiceFacts, image: str, settings: KubernetesSettings, resources: ServiceResources) -> dict[str, Any]:
    container = pod.container(kubernetes.CONTAINER, facts, DeploymentOptions(image, settings.replicas), resources)
    container["env"] = [*container["env"], {"name": "MODELYARD_SERVICE", "value": SERVICE_FOLDER}]
    written = pod.spec(facts, [container])
    del written["serviceAccountName"]  # the namespace's own, whose token no pod gets
    key = digest.short(facts.bundle_key)
    for constraint in written["topologySpreadConstraints"]:
        constraint["labelSelector"] = {"matchLabels": selector(facts.model, key)}
    if settings.pull_secret is not None:
        written["imagePullSecrets"] = [{"name": settings.pull_secret}]
    return written


def companions(deployment: Mapping[str, Any], settings: KubernetesSettings) -> dict[str, dict[str, Any]]:
    """What stands beside a Deployment, by kind: a disruption budget, an autoscaler, and for a route a Service."""
    metadata = {"name": deployment["metadata"]["name"], "labels": deployment["metadata"]["labels"]}
    match = deployment["spec"]["selector"]["matchLabels"]
    found: dict[str, dict[str, Any]] = {
        "PodDisruptionBudget": {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": match},
            },
        }
    }
    if settings.max_replicas is not None:
        found["HorizontalPodAutoscaler"] = _autoscaler(metadata, settings)
    if settings.gateway is not None:
        found["Service"] = {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": _ports(match),
        }
    return found


def _autoscaler(metadata: Mapping[str, Any], settings: KubernetesSettings) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": REPLICA_SCALING_PERCENT}},
    }
    if settings.requests_in_flight is not None:
        target = {"type": "AverageValue", "averageValue": f"{round(1000 * settings.requests_in_flight)}m"}
        metric = {"type": "Pods", "pods": {"metric": {"name": IN_FLIGHT_METRIC}, "target": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]},
            "minReplicas": settings.replicas,
            "maxReplicas": settings.max_replicas,
            "metrics": [metric],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    }


def _ports(match: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "ClusterIP", "selector": dict(match), "ports": ports()}


def ports() -> list[dict[str, Any]]:
    """The ports of a Service, by the number that pods of either form listen on: KServe names ports by itself."""
    return [{"name": "http", "port": PORT, "targetPort": CONTAINER_PORT, "protocol": "TCP", "appProtocol": "http"}]


def service(model: str, key: str | None, annotations: Mapping[str, str | None]) -> dict[str, Any]:
    """The model's Service: its selector is the switch.

    Args:
        key: of the bundle whose pods are asked; None: none are.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _about(model, annotations),
        "spec": _ports(selector(model, key or NOTHING)),
    }


def route(
    model: str,
    shares: Mapping[str, int],
    mirror: str | None,
    settings: KubernetesSettings,
    annotations: Mapping[str, str | None],
) -> dict[str, Any]:
    """The model's HTTPRoute: its weights are the switch and the canary.

    Args:
        shares: weight of each bundle's key, the champion's first; {}: the Gateway answers 500.
        mirror: key of a bundle that gets a copy of each request, whose answers nobody sees.
    """
    assert settings.gateway is not None  # noqa: S101
    assert settings.hostname is not None  # noqa: S101
    namespace, _, gateway = settings.gateway.rpartition("/")
    parent = {"name": gateway, **({"namespace": namespace} if namespace else {})}
    backends = [{"name": name_of(model, key), "port": PORT, "weight": weight} for key, weight in shares.items()]
    rule: dict[str, Any] = {"backendRefs": backends}
    if mirror is not None:
        copied = {"backendRef": {"name": name_of(model, mirror), "port": PORT}}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": copied}]
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": _about(model, annotations),
        "spec": {
            "parentRefs": [parent],
            "hostnames": [settings.hostname.replace(MODEL, model)],
            "rules": [rule],
        },
    }


def secret(name: str, model: str, content: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """A Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {**_about(model, annotations), "name": name},
        "type": "Opaque",
        "stringData": dict(content),
    }


def keys_secret(model: str) -> str:
    """The name of the Secret with a model's API keys, which pods mount."""
    return f"{model}-{API_KEYS_NAME}"


def controller_secret(model: str) -> str:
    """The name of the Secret with the key by which Modelyard asks pods; no pod mounts it."""
    return f"{model}-controller"


def _about(model: str, annotations: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        "name": model,
        "labels": {MODEL_LABEL: model, MANAGED_LABEL: "modelyard", "app.kubernetes.io/part-of": "modelyard"},
        "annotations": dict(annotations),
    }
