"""A compose file for one model's service, after the Compose Specification (docker compose, podman-compose)."""

from __future__ import annotations

from typing import Any

from components.deployment.container import (
    API_KEYS_NAME,
    API_KEYS_VARIABLE,
    PORT,
    READY_PATH,
    TEMPORARY_FOLDER,
    TEMPORARY_MEBIBYTES,
    USER_ID,
    DeploymentOptions,
    digests,
    labels,
)
from components.deployment.resources import ServiceResources
from components.deployment.service_facts import ServiceFacts
from components.deployment.shutdown import TERMINATION_SECONDS
from components.deployment.yaml_text import render

KEYS_FILE = f"./secrets/{API_KEYS_NAME}"
PROCESSES = 512  # threads count as well
_PROBE = "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}{path}', timeout=3)"


def files(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, str]:
    """The compose file."""
    head = list(resources.notes)
    if options.replicas > 1:
        head.append("Each container of the service has a port of its own on this host: put a balancer before them.")
    document = {
        "name": facts.model,
        "services": {facts.model: service(facts, options, resources)},
        **({"secrets": {API_KEYS_NAME: {"file": KEYS_FILE}}} if facts.asks_for_keys else {}),
    }
    return {"compose.yaml": render(document, head)}


def service(facts: ServiceFacts, options: DeploymentOptions, resources: ServiceResources) -> dict[str, Any]:
    """The service: no privilege, nothing writable but the temporary folder, reached on loopback of the host."""
    keys = {"environment": {API_KEYS_VARIABLE: f"/run/secrets/{API_KEYS_NAME}"}, "secrets": [API_KEYS_NAME]}
    ports = f"{PORT}-{PORT + options.replicas - 1}" if options.replicas > 1 else str(PORT)
    return {
        "image": options.image,
        "pull_policy": "missing",
        "user": f"{USER_ID}:{USER_ID}",
        **hardened(),
        "tmpfs": [f"{TEMPORARY_FOLDER}:size={TEMPORARY_MEBIBYTES}m,mode=1777"],
        **(keys if facts.asks_for_keys else {}),
        "ports": [f"127.0.0.1:{ports}:{PORT}"],
        "healthcheck": probe(PORT, READY_PATH, resources.startup_seconds),
        "restart": "unless-stopped",
        "stop_grace_period": f"{TERMINATION_SECONDS}s",
        "deploy": {
            "replicas": options.replicas,
            "resources": {
                "limits": {"memory": f"{resources.memory_limit_mebibytes}M", "pids": PROCESSES},
                "reservations": {"cpus": resources.cpus, "memory": f"{resources.memory_request_mebibytes}M"},
            },
        },
        "logging": logging(),
        "labels": {**labels(facts), **digests(facts)},
    }


def hardened() -> dict[str, Any]:
    """What every service of ours is denied."""
    return {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def logging() -> dict[str, Any]:
    """Logs that do not fill the disk."""
    return {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def probe(port: int, path: str, start_seconds: int) -> dict[str, Any]:
    """A health check by the container's own Python: small images hold no curl."""
    return {
        "test": ["CMD", "python3", "-c", _PROBE.format(port=port, path=path)],
        "interval": "10s",
        "timeout": "5s",
        "retries": 3,
        "start_period": f"{start_seconds}s",
    }
