"""The compose services of other makers that the platform's servers keep what they know in: PostgreSQL, Redis, S3."""

from __future__ import annotations

from typing import Any

from components.deployment import platform_scripts as scripts
from components.deployment.compose import hardened, logging
from components.deployment.container import TEMPORARY_FOLDER

POSTGRES_IMAGE, OBJECT_STORE_IMAGE, REDIS_IMAGE = "postgres:17.6", "chrislusf/seaweedfs:4.48", "redis:7.2.11"
POSTGRES_PORT, REDIS_PORT, S3_PORT = 5432, 6379, 8333


def shell(script: str) -> list[str]:
    """The command of a script; what the shell is to replace is not replaced by compose."""
    return ["sh", "-euc", script.replace("$", "$$")]


def limits(memory: str, cpus: str) -> dict[str, Any]:
    """What a service may take at most."""
    return {"resources": {"limits": {"memory": memory, "cpus": cpus, "pids": 1024}}}


def postgres() -> dict[str, Any]:
    """The databases of Prefect, MLflow and MLflow's users."""
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
        "deploy": limits("1G", "2"),
        "logging": logging(),
    }


def object_store() -> dict[str, Any]:
    """The S3 store of MLflow's artifacts."""
    identities = (
        '{\\"identities\\":[{\\"name\\":\\"modelyard\\",\\"credentials\\":[{\\"accessKey\\":\\"%s\\",'
        '\\"secretKey\\":\\"%s\\"}],\\"actions\\":[\\"Admin\\",\\"Read\\",\\"List\\",\\"Tagging\\",\\"Write\\"]}]}'
    )
    script = (
        f"{scripts.READ}umask 077\n"
        f'printf "{identities}" "$(read_secret s3-access-key)" "$(read_secret s3-secret-key)" > /tmp/s3.json\n'
        "exec weed server -dir=/data -ip=object-store -ip.bind=0.0.0.0 -filer -s3 "
        f"-s3.port={S3_PORT} -s3.config=/tmp/s3.json\n"
    )
    return {
        "image": f"${{OBJECT_STORE_IMAGE:-{OBJECT_STORE_IMAGE}}}",
        **hardened(),
        "entrypoint": [],
        "command": shell(script),
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
        "deploy": limits("1G", "2"),
        "logging": logging(),
    }


def redis() -> dict[str, Any]:
    """Messages between the API servers; written to disk, and never removed when memory is short."""
    script = (
        f"{scripts.READ}umask 077\n"
        'printf "dir /data\\nappendonly yes\\nmaxmemory-policy noeviction\\nrequirepass %s\\n" '
        '"$(read_secret redis-password)" > /tmp/redis.conf\n'
        "exec redis-server /tmp/redis.conf\n"
    )
    return {
        "image": f"${{REDIS_IMAGE:-{REDIS_IMAGE}}}",
        "user": "999:999",
        **hardened(),
        "command": shell(script),
        "tmpfs": [TEMPORARY_FOLDER],
        "secrets": ["redis-password"],
        "volumes": ["redis:/data"],
        "healthcheck": {
            "test": ["CMD-SHELL", 'REDISCLI_AUTH="$$(cat /run/secrets/redis-password)" redis-cli ping | grep -q PONG'],
            "interval": "5s",
            "timeout": "5s",
            "retries": 12,
            "start_period": "30s",
        },
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "deploy": limits("512M", "1"),
        "logging": logging(),
    }
