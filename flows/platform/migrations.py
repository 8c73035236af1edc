"""The tables of both servers' databases on PostgreSQL, made or upgraded once before the servers start.

Several servers that start on one database would else migrate it at the same time, and two API servers of Prefect would
insert its block types at the same time, which ends one of them. Each migration is a process of its own, which reads the
password by itself and writes a log.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from components.access import redis_owner, server_database, server_redis
from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from flows.platform import connections, environment, prefect_server, supervisor
from flows.platform.programs import log_file

MODULES: dict[connections.Name, str] = {
    "prefect": "flows.platform.migrations",
    "mlflow": "components.registry.migrate",
}


def run_if_shared(project: Project, log: Log) -> None:
    """Migrate the databases of the project's own servers, where several of them start on one.

    Raises:
        StackError: a migration failed, or the Redis between the servers belongs to another Prefect.
    """
    names = tuple(name for name in connections.own_servers(project) if server_database.is_named(project, name))
    if server_redis.is_named(project) and names:
        if "prefect" in names:
            redis_owner.claim(project)
        log(f"migrating the databases of {' and '.join(names)}")
        run(project, names, log)


def run(project: Project, servers: tuple[connections.Name, ...], log: Log) -> None:
    """Migrate the databases of servers side by side, and wait.

    Raises:
        StackError: a migration failed; contains the end of its log.
    """
    started_at = time.monotonic()
    processes = {name: _start(project, name) for name in servers}
    codes = {name: process.wait() for name, process in processes.items()}
    for name, code in codes.items():
        if code != 0:
            path = log_file(project, _log_name(name))
            raise StackError(
                f"the database of {name} could not be migrated",
                where=str(path),
                got="\n" + supervisor.tail(path),
                next_step="read the error above; no server was started on this database",
            )
    log(f"tables of {' and '.join(servers)} are up to date ({time.monotonic() - started_at:.1f} s)")


def _log_name(name: str) -> str:
    return f"{name}-migrations"


def _start(project: Project, name: connections.Name) -> subprocess.Popen[bytes]:
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "MLFLOW_"))}
    environment.quiet(variables)
    path = log_file(project, _log_name(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", MODULES[name]],
            cwd=project.root,
            env={**variables, **environment.of_project(project)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )


def _migrate_prefect(project: Project) -> None:
    os.environ.update(prefect_server.variables(project))  # before Prefect is imported, which reads them once
    prefect_server.migrate(project, only_if_empty=False)
    with server_database.first_start(server_database.url(project, "prefect", "postgresql"), "[servers] prefect"):
        asyncio.run(_register_blocks())


async def _register_blocks() -> None:
    """Insert or update Prefect's block types, as each of its servers does at its start by default."""
    import prefect.plugins
    from prefect.server.database import provide_database_interface
    from prefect.server.models.block_registration import run_block_auto_registration

    prefect.plugins.load_prefect_collections()
    async with await provide_database_interface().session() as session:
        await run_block_auto_registration(session=session)


if __name__ == "__main__":
    _migrate_prefect(Project.find())
