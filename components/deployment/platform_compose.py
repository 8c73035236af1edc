"""A compose file for the platform itself: two Prefect API servers, MLflow, PostgreSQL, Redis, S3, runner, controller.

Prefect and MLflow are the plain servers of their makers; the project's `modelyard.toml` names them. The controller's
model services listen on loopback of their container, as on any machine: they are for gates and rehearsal, and what
strangers ask is deployed by the other targets.
"""

from __future__ import annotations

from typing import Any

from components.deployment import platform_balancer, platform_stores
from components.deployment import platform_scripts as scripts
from components.deployment.compose import hardened, logging
from components.deployment.container import TEMPORARY_FOLDER, USER_ID
from components.deployment.platform_readme import MODELYARD_TOML, README
from components.deployment.platform_scripts import MLFLOW_PORT, PREFECT_PORT, SECRETS
from components.deployment.platform_stores import POSTGRES_PORT, REDIS_PORT, S3_PORT, limits, shell
from components.deployment.yaml_text import render

FOLDER = "platform"
PLATFORM_IMAGE = "modelyard-platform:0.1.0"
BOTO = "1.43.117"  # boto3 and botocore, through which MLflow reaches an S3 store
API_SERVERS = ("prefect-1", "prefect-2")
HEAD = (
    "The platform: two Prefect API servers, MLflow, PostgreSQL, Redis, an S3 store, Modelyard's runner and controller.",
    "Passwords are files in secrets/; README.md has the commands that make them.",
    "Images of other makers may be named otherwise: POSTGRES_IMAGE, OBJECT_STORE_IMAGE, REDIS_IMAGE, BALANCER_IMAGE.",
)
_BUCKET = """import boto3, os
store = boto3.client("s3", endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"])
if "mlflow" not in [bucket["Name"] for bucket in store.list_buckets()["Buckets"]]:
    store.create_bucket(Bucket="mlflow")
"""
_CONTAINERFILE = f"""FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/modelyard
COPY Makefile pyproject.toml requirements.lock README.md LICENSE ./
COPY components components
COPY flows flows
COPY serving serving
RUN make install GPU=0 \\
 && .venv/bin/uv pip install -q -p .venv/bin/python boto3=={BOTO} botocore=={BOTO}
ENV PATH=/opt/modelyard/.venv/bin:$$PATH PYTHONPATH=/project
USER {USER_ID}:{USER_ID}
"""


def files() -> dict[str, str]:
    """The compose file of the platform and its README, below `platform/`."""
    addresses = [f"{name}:{PREFECT_PORT}" for name in API_SERVERS]
    document = {
        "name": "modelyard",
        "services": {
            "postgres": platform_stores.postgres(),
            "redis": platform_stores.redis(),
            "object-store": platform_stores.object_store(),
            "setup": _setup(),
            **{name: _prefect_api() for name in API_SERVERS},
            "prefect-services": _prefect_services(),
            "prefect": platform_balancer.service(_after(*API_SERVERS)),
            "mlflow": _mlflow(),
            "modelyard": _modelyard(),
        },
        "configs": {
            "databases": {"content": "CREATE DATABASE mlflow;\nCREATE DATABASE mlflow_login;\n"},
            platform_balancer.CONFIGURATION: {
                "content": platform_balancer.configuration(addresses, f":{PREFECT_PORT}")
            },
        },
        "secrets": {name: {"file": f"./secrets/{name}"} for name in SECRETS},
        "volumes": {"postgres": {}, "object-store": {}, "redis": {}},
    }
    return {
        f"{FOLDER}/compose.yaml": render(document, HEAD),
        f"{FOLDER}/modelyard.toml": MODELYARD_TOML,
        f"{FOLDER}/README.md": README,
    }


def _after(*ready: str, done: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        **{name: {"condition": "service_healthy"} for name in ready},
        **{name: {"condition": "service_completed_successfully"} for name in done},
    }


def _answers(port: int, path: str) -> dict[str, Any]:
    probe = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}{path}', timeout=5)"
    return {
        "test": ["CMD", "python3", "-c", probe],
        "interval": "10s",
        "timeout": "10s",
        "retries": 6,
        "start_period": "120s",
    }


def _ours(script: str) -> dict[str, Any]:
    """A service in the platform's image."""
    return {
        "image": PLATFORM_IMAGE,
        "user": f"{USER_ID}:{USER_ID}",
        **hardened(),
        "tmpfs": [f"{TEMPORARY_FOLDER}:size=2g,mode=1777"],
        "command": shell(script),
        "logging": logging(),
    }


CERTIFICATES = "${CERTIFICATES:-./certificates}:/etc/modelyard:ro"  # of authorities, for servers elsewhere
QUIET = {
    "HOME": f"{TEMPORARY_FOLDER}/home",
    **scripts.QUIET,
    "DATABASE": f"${{DATABASE:-postgres:{POSTGRES_PORT}}}",
    "PGSSLMODE": "${PGSSLMODE:-prefer}",
    "PGSSLROOTCERT": "${PGSSLROOTCERT:-}",
}
PREFECT = {
    **QUIET,
    **scripts.PREFECT,
    "PREFECT_HOME": f"{TEMPORARY_FOLDER}/prefect",
    "PREFECT_UI_STATIC_DIRECTORY": f"{TEMPORARY_FOLDER}/prefect/ui",
    "REDIS": f"${{REDIS:-redis:{REDIS_PORT}/0}}",
    "REDIS_TLS": "${REDIS_TLS:-}",
    "REDIS_CA": "${REDIS_CA:-}",
}
STORE = {
    **QUIET,
    "ARTIFACTS": "s3://mlflow",
    "MLFLOW_S3_ENDPOINT_URL": f"http://object-store:{S3_PORT}",
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def _setup() -> dict[str, Any]:
    """Tables and bucket, once: two servers that make the tables of an empty database at once break them."""
    return {
        "build": {"context": "${PROJECT:?the folder of the project}", "dockerfile_inline": _CONTAINERFILE},
        **_ours(f"{scripts.migrate()}{scripts.KEYS}python -c '{_BUCKET}'\n"),
        "environment": {**PREFECT, **STORE},
        "secrets": [*scripts.OF_MIGRATIONS, "s3-access-key", "s3-secret-key"],
        "volumes": [CERTIFICATES],
        "depends_on": _after("postgres", "redis", "object-store"),
        "restart": "on-failure:3",
        "deploy": limits("1G", "1"),
    }


def _prefect_api() -> dict[str, Any]:
    start = f"prefect server start --no-services --host 0.0.0.0 --port {PREFECT_PORT}"
    return {
        **_ours(scripts.prefect_api(start)),
        "environment": PREFECT,
        "secrets": list(scripts.OF_PREFECT),
        "volumes": [CERTIFICATES],
        "healthcheck": _answers(PREFECT_PORT, "/api/health"),
        "depends_on": _after("postgres", "redis", done=("setup",)),
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": limits("2G", "2"),
    }


def _prefect_services() -> dict[str, Any]:
    return {
        **_ours(scripts.prefect_services()),
        "environment": PREFECT,
        "secrets": list(scripts.OF_SERVICES),
        "volumes": [CERTIFICATES],
        "healthcheck": {
            "test": ["CMD-SHELL", scripts.services_are_alive().replace("$", "$$")],
            "interval": "30s",
            "timeout": "15s",
            "retries": 4,
            "start_period": "120s",
        },
        "depends_on": _after("postgres", "redis", done=("setup",)),
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": limits("2G", "2"),
    }


def _mlflow() -> dict[str, Any]:
    hosts = ",".join(f"{host}:{MLFLOW_PORT}" for host in ("mlflow", "127.0.0.1", "localhost"))
    return {
        **_ours(scripts.mlflow("0.0.0.0", hosts)),  # noqa: S104  # inside the container
        "environment": {**STORE, **scripts.MLFLOW},
        "secrets": list(scripts.OF_MLFLOW),
        "volumes": [CERTIFICATES],
        "ports": [f"127.0.0.1:{MLFLOW_PORT}:{MLFLOW_PORT}"],
        "healthcheck": _answers(MLFLOW_PORT, "/health"),
        "depends_on": _after("postgres", "object-store", done=("setup",)),
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": limits("2G", "2"),
    }


def _modelyard() -> dict[str, Any]:
    script = "cd /project\ntrap 'modelyard down; exit 0' TERM INT\nmodelyard up\nwhile :; do sleep 5 & wait $!; done\n"
    return {
        **_ours(script),
        "user": f"${{PROJECT_USER:-{USER_ID}:{USER_ID}}}",
        "environment": {"HOME": f"{TEMPORARY_FOLDER}/home", "MODELYARD_PROJECT": "/project"},
        "secrets": ["prefect-login", "mlflow-login"],
        "volumes": ["${PROJECT:?the folder of the project}:/project"],
        "healthcheck": {
            "test": ["CMD-SHELL", "cd /project && modelyard status"],
            "interval": "60s",
            "timeout": "30s",
            "retries": 3,
            "start_period": "180s",
        },
        "depends_on": _after("prefect", "prefect-services", "mlflow"),
        "restart": "unless-stopped",
        "stop_grace_period": "90s",
    }
