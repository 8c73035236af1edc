"""A compose file for the platform itself: Prefect and MLflow on PostgreSQL and an S3 store, runner and controller.

Prefect and MLflow are the plain servers of their makers; the project's `modelyard.toml` names them. The controller's
model services listen on loopback of their container, as on any machine: they are for gates and rehearsal, and what
strangers ask is deployed by the other targets.
"""

from __future__ import annotations

from typing import Any

from components.deployment.compose import hardened, logging
from components.deployment.container import TEMPORARY_FOLDER, USER_ID
from components.deployment.platform_readme import MODELYARD_TOML, README
from components.deployment.yaml_text import render

FOLDER = "platform"
SECRETS = ("postgres-password", "s3-access-key", "s3-secret-key", "prefect-login", "mlflow-login", "mlflow-session-key")
POSTGRES_IMAGE, OBJECT_STORE_IMAGE = "postgres:17.6", "chrislusf/seaweedfs:4.48"
PLATFORM_IMAGE = "modelyard-platform:0.1.0"
BOTO = "1.43.117"  # boto3 and botocore, through which MLflow reaches an S3 store
FLASK_WTF = "1.3.0"  # MLflow's login needs it
PREFECT_PORT, MLFLOW_PORT, S3_PORT, POSTGRES_PORT = 4200, 5000, 8333, 5432
HEAD = (
    "The platform: Prefect, MLflow, PostgreSQL, an S3 store, Modelyard's runner and controller.",
    "Passwords are files in secrets/; README.md has the commands that make them.",
    "Images of other makers may be named otherwise: POSTGRES_IMAGE, OBJECT_STORE_IMAGE.",
)
_READ = 'read_secret() { cat "/run/secrets/$$1"; }\n'
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
 && .venv/bin/uv pip install -q -p .venv/bin/python boto3=={BOTO} botocore=={BOTO} Flask-WTF=={FLASK_WTF}
ENV PATH=/opt/modelyard/.venv/bin:$$PATH PYTHONPATH=/project
USER {USER_ID}:{USER_ID}
"""


def files() -> dict[str, str]:
    """The compose file of the platform and its README, below `platform/`."""
    document = {
        "name": "modelyard",
        "services": {
            "postgres": _postgres(),
            "object-store": _object_store(),
            "setup": _setup(),
            "prefect": _prefect(),
            "mlflow": _mlflow(),
            "modelyard": _modelyard(),
        },
        "configs": {"databases": {"content": "CREATE DATABASE mlflow;\nCREATE DATABASE mlflow_login;\n"}},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in SECRETS},
        "volumes": {"postgres": {}, "object-store": {}},
    }
    return {
        f"{FOLDER}/compose.yaml": render(document, HEAD),
        f"{FOLDER}/modelyard.toml": MODELYARD_TOML,
        f"{FOLDER}/README.md": README,
    }


def _shell(script: str) -> list[str]:
    return ["sh", "-euc", _READ + script]


def _limits(memory: str, cpus: str) -> dict[str, Any]:
    return {"resources": {"limits": {"memory": memory, "cpus": cpus, "pids": 1024}}}


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
        "command": _shell(script),
        "logging": logging(),
    }


QUIET = {
    "HOME": f"{TEMPORARY_FOLDER}/home",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
PREFECT = {
    **QUIET,
    "PREFECT_HOME": f"{TEMPORARY_FOLDER}/prefect",
    "PREFECT_UI_STATIC_DIRECTORY": f"{TEMPORARY_FOLDER}/prefect/ui",
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
}
STORE = {
    **QUIET,
    "MLFLOW_S3_ENDPOINT_URL": f"http://object-store:{S3_PORT}",
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_KEYS = (
    'export AWS_ACCESS_KEY_ID="$$(read_secret s3-access-key)" AWS_SECRET_ACCESS_KEY="$$(read_secret s3-secret-key)"\n'
)


def _database(driver: str, name: str) -> str:
    return f"{driver}://modelyard:$$(read_secret postgres-password)@postgres:{POSTGRES_PORT}/{name}"


def _postgres() -> dict[str, Any]:
    return {
        "image": f"${{POSTGRES_IMAGE:-{POSTGRES_IMAGE}}}",
        **hardened(),
        "cap_add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"],  # it gives its folder to its own user
        "tmpfs": [TEMPORARY_FOLDER, "/run/postgresql"],
        "environment": {
            "POSTGRES_USER": "modelyard",
            "POSTGRES_DB": "prefect",
            "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres-password",
            "PGDATA": "/var/lib/postgresql/data/pgdata",
        },
        "secrets": ["postgres-password"],
        "configs": [{"source": "databases", "target": "/docker-entrypoint-initdb.d/databases.sql"}],
        "volumes": ["postgres:/var/lib/postgresql/data"],
        "healthcheck": {
            "test": ["CMD", "pg_isready", "--username=modelyard", "--dbname=mlflow_login"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
            "start_period": "60s",
        },
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
        "deploy": _limits("1G", "2"),
        "logging": logging(),
    }


def _object_store() -> dict[str, Any]:
    identities = (
        '{\\"identities\\":[{\\"name\\":\\"modelyard\\",\\"credentials\\":[{\\"accessKey\\":\\"%s\\",'
        '\\"secretKey\\":\\"%s\\"}],\\"actions\\":[\\"Admin\\",\\"Read\\",\\"List\\",\\"Tagging\\",\\"Write\\"]}]}'
    )
    script = (
        "umask 077\n"
        f'printf "{identities}" "$$(read_secret s3-access-key)" "$$(read_secret s3-secret-key)" > /tmp/s3.json\n'
        "exec weed server -dir=/data -ip=object-store -ip.bind=0.0.0.0 -filer -s3 "
        f"-s3.port={S3_PORT} -s3.config=/tmp/s3.json\n"
    )
    return {
        "image": f"${{OBJECT_STORE_IMAGE:-{OBJECT_STORE_IMAGE}}}",
        **hardened(),
        "entrypoint": [],
        "command": _shell(script),
        "tmpfs": [TEMPORARY_FOLDER],
        "secrets": ["s3-access-key", "s3-secret-key"],
        "volumes": ["object-store:/data"],
        "healthcheck": {
            "test": ["CMD", "wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{S3_PORT}/healthz"],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
            "start_period": "60s",
        },
        "restart": "unless-stopped",
        "stop_grace_period": "60s",
        "deploy": _limits("1G", "2"),
        "logging": logging(),
    }


def _setup() -> dict[str, Any]:
    """Tables and bucket, once: two servers that make the tables of an empty database at once break them."""
    script = (
        f'export PREFECT_SERVER_DATABASE_CONNECTION_URL="{_database("postgresql+asyncpg", "prefect")}"\n'
        "prefect server database upgrade -y\n"
        f'mlflow db upgrade "{_database("postgresql+psycopg", "mlflow")}"\n'
        f"{_KEYS}python -c '{_BUCKET}'\n"
    )
    return {
        "build": {"context": "${PROJECT:?the folder of the project}", "dockerfile_inline": _CONTAINERFILE},
        **_ours(script),
        "environment": {**PREFECT, **STORE},
        "secrets": ["postgres-password", "s3-access-key", "s3-secret-key"],
        "depends_on": _after("postgres", "object-store"),
        "restart": "on-failure:3",
        "deploy": _limits("1G", "1"),
    }


def _prefect() -> dict[str, Any]:
    script = (
        f'export PREFECT_SERVER_DATABASE_CONNECTION_URL="{_database("postgresql+asyncpg", "prefect")}"\n'
        'export PREFECT_SERVER_API_AUTH_STRING="$$(read_secret prefect-login)"\n'
        f"exec prefect server start --host 0.0.0.0 --port {PREFECT_PORT}\n"
    )
    return {
        **_ours(script),
        "environment": PREFECT,
        "secrets": ["postgres-password", "prefect-login"],
        "ports": [f"127.0.0.1:{PREFECT_PORT}:{PREFECT_PORT}"],
        "healthcheck": _answers(PREFECT_PORT, "/api/health"),
        "depends_on": _after("postgres", done=("setup",)),
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": _limits("2G", "2"),
    }


def _mlflow() -> dict[str, Any]:
    hosts = ",".join(f"{host}:{MLFLOW_PORT}" for host in ("mlflow", "127.0.0.1", "localhost"))
    script = (
        f"{_KEYS}umask 077\n"
        f'printf "[mlflow]\\ndefault_permission = NO_PERMISSIONS\\ndatabase_uri = %s\\nauth_cache_ttl_seconds = 60\\n" '
        f'"{_database("postgresql+psycopg", "mlflow_login")}" > /tmp/login.ini\n'
        'login="$$(read_secret mlflow-login)"\n'
        "export MLFLOW_AUTH_CONFIG_PATH=/tmp/login.ini\n"
        'export MLFLOW_AUTH_ADMIN_USERNAME="$${login%%:*}" MLFLOW_AUTH_ADMIN_PASSWORD="$${login#*:}"\n'
        'export MLFLOW_FLASK_SERVER_SECRET_KEY="$$(read_secret mlflow-session-key)"\n'
        f"exec mlflow server --app-name basic-auth --host 0.0.0.0 --port {MLFLOW_PORT} --workers 1 "
        f'--allowed-hosts "{hosts}" --artifacts-destination s3://mlflow '
        f'--backend-store-uri "{_database("postgresql+psycopg", "mlflow")}"\n'
    )
    return {
        **_ours(script),
        "environment": {**STORE, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        "secrets": ["postgres-password", "s3-access-key", "s3-secret-key", "mlflow-login", "mlflow-session-key"],
        "ports": [f"127.0.0.1:{MLFLOW_PORT}:{MLFLOW_PORT}"],
        "healthcheck": _answers(MLFLOW_PORT, "/health"),
        "depends_on": _after("postgres", "object-store", done=("setup",)),
        "restart": "unless-stopped",
        "stop_grace_period": "20s",
        "deploy": _limits("2G", "2"),
    }


def _modelyard() -> dict[str, Any]:
    script = "cd /project\ntrap 'modelyard down; exit 0' TERM INT\nmodelyard up\nwhile :; do sleep 5 & wait $$!; done\n"
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
        "depends_on": _after("prefect", "mlflow"),
        "restart": "unless-stopped",
        "stop_grace_period": "90s",
    }
