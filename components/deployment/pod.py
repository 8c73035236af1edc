"""The pod of a model's service, for Kubernetes and for KServe: one container that can do nothing but answer."""

from __future__ import annotations

from typing import Any

from components.deployment.container import (
    API_KEYS_NAME,
    API_KEYS_VARIABLE,
    LIVE_PATH,
    PORT,
    READY_PATH,
    TEMPORARY_FOLDER,
    TEMPORARY_MEBIBYTES,
    USER_ID,
    DeploymentOptions,
    selector,
)
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.shutdown import ENDPOINT_REMOVAL_SECONDS, TERMINATION_SECONDS

KEYS_FOLDER = "/run/secrets/modelyard"
STARTUP_PERIOD_SECONDS = 2


def secret_name(facts: ServiceFacts) -> str:
    """The Kubernetes secret with the API keys; it is made by the operator and only referred to here."""
    return f"{facts.model}-{API_KEYS_NAME}"


def container(
    name: str, facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources
) -> dict[str, Any]:
    """The container: no privilege, nothing writable but the temporary folder."""
    return {
        "name": name,
        "image": options.image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "env": [{"name": API_KEYS_VARIABLE, "value": f"{KEYS_FOLDER}/{API_KEYS_NAME}"}] if facts.asks_for_keys else [],
        "resources": {
            "requests": {
                "cpu": f"{resources.cpu_millicores}m",
                "memory": f"{resources.memory_request_mebibytes}Mi",
            },
            "limits": {"memory": f"{resources.memory_limit_mebibytes}Mi"},
        },
        "startupProbe": {
            "httpGet": {"path": READY_PATH, "port": PORT},
            "periodSeconds": STARTUP_PERIOD_SECONDS,
            "timeoutSeconds": 2,
            "failureThreshold": -(-resources.startup_seconds // STARTUP_PERIOD_SECONDS),
        },
        "readinessProbe": {
            "httpGet": {"path": READY_PATH, "port": PORT},
            "periodSeconds": 5,
            "timeoutSeconds": 3,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": {"path": LIVE_PATH, "port": PORT},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        },
        # Endpoints are removed while the container sleeps, so that no new connection reaches a service that drains.
        "lifecycle": {"preStop": {"sleep": {"seconds": ENDPOINT_REMOVAL_SECONDS}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": TEMPORARY_FOLDER},
            *([{"name": API_KEYS_NAME, "mountPath": KEYS_FOLDER, "readOnly": True}] if facts.asks_for_keys else []),
        ],
    }


def spec(facts: ServiceFacts, containers: list[dict[str, Any]]) -> dict[str, Any]:
    """The pod's spec: a fixed user, no token of the cluster, time to drain."""
    secret = {"name": API_KEYS_NAME, "secret": {"secretName": secret_name(facts), "defaultMode": 0o440}}
    return {
        "serviceAccountName": facts.model,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(facts)},
            }
        ],
        "containers": containers,
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": f"{TEMPORARY_MEBIBYTES}Mi"}},
            *([secret] if facts.asks_for_keys else []),
        ],
    }
