"""The Prefect server of a project: Prefect's application behind the door, which checks credentials.

`uvicorn --factory flows.platform.prefect_server:create_app`, in the project's folder. Prefect's own
`PREFECT_SERVER_API_AUTH_STRING` is not set: Prefect's pages would ask the user for the secret. The door checks the same
credentials, including those that Prefect's clients send in the first message of a WebSocket.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from components.access import project_door, redis_owner, server_database, server_redis, server_tls
from components.access.door import Application
from components.contracts import settings
from components.core import atomic_database
from components.core.errors import StackError
from components.core.project import Project

DATABASE = "prefect.db"


def database(project: Project) -> Path:
    """The database's file, relative to the project's folder."""
    return project.state.relative_to(project.root) / "prefect" / DATABASE


def create_app() -> Application:
    """The ASGI application; creates a missing database first. Reads MODELYARD_PROJECT and Prefect's settings."""
    project = Project.find()
    if server_database.is_named(project, "prefect"):
        _use_postgres(project)
    else:
        atomic_database.create(database(project), _make_tables, atomic_database.template_of("prefect"))
    from prefect.server.api.server import create_app as create_prefect

    return project_door.before(create_prefect(), project, opened_by="modelyard open prefect", handshake="prefect")


def _use_postgres(project: Project) -> None:
    """Let the server keep what it knows where `[servers]` says; tables are made where there are none."""
    os.environ.update(variables(project))  # before Prefect is imported, which reads them once
    require_own_redis(project)
    migrate(project, only_if_empty=True)


def variables(project: Project) -> dict[str, str]:
    """The settings with passwords of a Prefect on PostgreSQL, and on Redis if there are two API servers.

    Raises:
        SpecError, StackError: `modelyard.toml` or the credentials cannot be read.
    """
    url = server_database.url(project, "prefect", "postgresql+asyncpg")
    named = server_tls.with_files(str(settings.read(project.root).servers.prefect), project.root)
    shared = server_redis.variables(server_redis.url(project)) if server_redis.is_named(project) else {}
    database = {"PREFECT_SERVER_DATABASE_CONNECTION_URL": url, **server_database.asyncpg_variables(named)}
    return {**database, **shared}


def require_own_redis(project: Project) -> None:
    """Check that the Redis between several servers is not another Prefect's; one that is away is not waited for.

    Raises:
        ForeignRedisError: it is.
        SpecError: `modelyard.toml` is wrong.
    """
    if not server_redis.is_named(project):
        return
    try:
        redis_owner.check(project)
    except redis_owner.ForeignRedisError:
        raise
    except StackError as error:  # the servers start all the same, and answer once it is back
        print(f"which Prefect the Redis belongs to could not be asked: {error}", file=sys.stderr)


def migrate(project: Project, *, only_if_empty: bool) -> None:
    """Make the tables of a database of PostgreSQL, or bring them to this version of Prefect; one process at a time.

    Raises:
        StackError: the database does not answer, or Prefect's command fails.
    """
    where = str(settings.read(project.root).servers.prefect)
    with server_database.first_start(server_database.url(project, "prefect", "postgresql"), where) as is_empty:
        if is_empty or not only_if_empty:
            _upgrade(server_database.url(project, "prefect", "postgresql+asyncpg"), where)


def _make_tables(path: Path) -> None:
    _upgrade(f"sqlite+aiosqlite:///{path}", str(path))


def _upgrade(url: str, where: str) -> None:
    """Create or upgrade the tables with Prefect's command in a child process, while this one imports the server."""
    migration = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url},
        stdin=subprocess.DEVNULL,
    )
    import prefect.server.api.server  # noqa: F401

    if migration.wait() != 0:
        raise StackError(
            "Prefect's database could not be created or upgraded",
            where=where,
            got=f"`prefect server database upgrade` ended with exit code {migration.returncode}",
            next_step="read the error in the lines above; `modelyard doctor` looks for causes",
        )
