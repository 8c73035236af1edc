"""The shell scripts that start the platform's servers: the same in containers and as units of systemd.

Prefect and MLflow are the plain servers of their makers. A script reads passwords from files, `/run/secrets` or the
credentials of its unit, and hands them on in its environment, never in a command line. Places are variables:

| variable | value |
|---|---|
| DATABASE | HOST:PORT of PostgreSQL, with the databases prefect, mlflow and mlflow_login of the user modelyard |
| PGSSLMODE, PGSSLROOTCERT | of both drivers of PostgreSQL: how its certificate is verified, and the authority's file |
| REDIS | HOST:PORT/NUMBER |
| REDIS_TLS | not empty: Redis is asked with TLS, and its certificate is verified |
| REDIS_CA | the authority's file; else those that the system trusts |
| ARTIFACTS | s3://BUCKET |
"""

from __future__ import annotations

PREFECT_PORT, MLFLOW_PORT = 4200, 5000
SECRETS = (
    "postgres-password",
    "redis-password",
    "s3-access-key",
    "s3-secret-key",
    "prefect-login",
    "mlflow-login",
    "mlflow-session-key",
)
OF_MIGRATIONS = ("postgres-password", "redis-password")
OF_PREFECT = ("postgres-password", "redis-password", "prefect-login")
OF_SERVICES = ("postgres-password", "redis-password")
OF_MLFLOW = ("postgres-password", "s3-access-key", "s3-secret-key", "mlflow-login", "mlflow-session-key")
READ = 'read_secret() { cat "${CREDENTIALS_DIRECTORY:-/run/secrets}/$1"; }\n'
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
PREFECT = {
    "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": "false",
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # two servers that start on an empty database would collide
    # As https://docs.prefect.io/v3/advanced/self-hosted names them for several API servers.
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
MLFLOW = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
KEYS = 'export AWS_ACCESS_KEY_ID="$(read_secret s3-access-key)" AWS_SECRET_ACCESS_KEY="$(read_secret s3-secret-key)"\n'
_PREFECT_DATABASE = (
    "export PREFECT_SERVER_DATABASE_CONNECTION_URL="
    '"postgresql+asyncpg://modelyard:$(read_secret postgres-password)@$DATABASE/prefect"\n'
)
_MLFLOW_DATABASE = (
    "export MLFLOW_BACKEND_STORE_URI="
    '"postgresql+psycopg://modelyard:$(read_secret postgres-password)@$DATABASE/mlflow"\n'
)
_REDIS = (
    'ca="${REDIS_CA:+?ssl_ca_certs=$REDIS_CA}" tls="${REDIS_TLS:+s}"\n'
    'export PREFECT_REDIS_MESSAGING_URL="redis$tls://:$(read_secret redis-password)@$REDIS${tls:+$ca}"\n'
    'export PREFECT_SERVER_DOCKET_URL="$PREFECT_REDIS_MESSAGING_URL"\n'
)
_BLOCKS = """import asyncio, prefect.plugins
from prefect.server.database import provide_database_interface
from prefect.server.models.block_registration import run_block_auto_registration
async def register():
    prefect.plugins.load_prefect_collections()
    async with await provide_database_interface().session() as session:
        await run_block_auto_registration(session=session)
asyncio.run(register())
"""
_TABLES = """import os
from mlflow.store.db import utils
engine = utils.create_sqlalchemy_engine_with_retry(os.environ["MLFLOW_BACKEND_STORE_URI"])
(utils._initialize_tables if utils._is_empty_database(engine) else utils._upgrade_db)(engine)
"""
_WORKERS = """import asyncio, docket, os, sys
async def count():
    async with docket.Docket(name="prefect", url=os.environ["PREFECT_SERVER_DOCKET_URL"]) as queue:
        return len(await queue.workers())
sys.exit(asyncio.run(count()) == 0)
"""


def migrate() -> str:
    """The claim to the Redis, tables of both servers, and Prefect's block types: once before any server starts."""
    return (
        f"{READ}{_PREFECT_DATABASE}{_REDIS}{_MLFLOW_DATABASE}python -m components.access.redis_owner\n"
        "prefect server database upgrade -y\n"
        f"python -c '{_BLOCKS}'\npython -c '{_TABLES}'\n"
    )


def prefect_api(start: str) -> str:
    """One of two API servers.

    Args:
        start: the command line of the server.
    """
    login = 'export PREFECT_SERVER_API_AUTH_STRING="$(read_secret prefect-login)"\n'
    return f"{READ}{_PREFECT_DATABASE}{_REDIS}{login}exec {start}\n"


def prefect_services() -> str:
    """What runs once beside the API servers: scheduler, automations."""
    return f"{READ}{_PREFECT_DATABASE}{_REDIS}exec prefect server services start\n"


def services_are_alive() -> str:
    """Exit code 0 if the services have given a sign of life in Redis."""
    return f"{READ}{_REDIS}python -c '{_WORKERS}'\n"


def mlflow(listen: str, hosts: str) -> str:
    """MLflow with its own users and permissions.

    Args:
        listen: the address to listen on.
        hosts: the names under which it is asked, with ports and commas.
    """
    return (
        f"{READ}{KEYS}{_MLFLOW_DATABASE}umask 077\n"
        'printf "[mlflow]\\ndefault_permission = NO_PERMISSIONS\\ndatabase_uri = %s\\nauth_cache_ttl_seconds = 60\\n" '
        '"${MLFLOW_BACKEND_STORE_URI}_login" > /tmp/login.ini\n'
        'login="$(read_secret mlflow-login)"\n'
        "export MLFLOW_AUTH_CONFIG_PATH=/tmp/login.ini\n"
        'export MLFLOW_AUTH_ADMIN_USERNAME="${login%%:*}" MLFLOW_AUTH_ADMIN_PASSWORD="${login#*:}"\n'
        'export MLFLOW_FLASK_SERVER_SECRET_KEY="$(read_secret mlflow-session-key)"\n'
        f"exec mlflow server --app-name basic-auth --host {listen} --port {MLFLOW_PORT} --workers 1 "
        f'--allowed-hosts "{hosts}" --artifacts-destination "$ARTIFACTS"\n'
    )
