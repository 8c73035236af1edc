"""The Prefect server of a project: Prefect's own application behind the door.

`uvicorn --factory flows.platform.prefect_server:create_app`, in the project's folder. Prefect's own
`PREFECT_SERVER_API_AUTH_STRING` is not set: its pages would ask a person for the secret, and the door checks the same
credentials before it, also those that Prefect's clients send in the first message of a WebSocket.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from components.access import project_door
from components.access.door import Application
from components.core import atomic_database
from components.core.errors import StackError
from components.core.project import Project

DATABASE = "prefect.db"


def database(project: Project) -> Path:
    """The database's file, relative to the project's folder."""
    return project.state.relative_to(project.root) / "prefect" / DATABASE


def create_app() -> Application:
    """The application; makes the database first if there is none. Reads MODELYARD_PROJECT and Prefect's settings."""
    project = Project.find()
    atomic_database.create(database(project), _make_tables)
    from prefect.server.api.server import create_app as create_prefect

    return project_door.before(create_prefect(), project, opened_by="modelyard open prefect", handshake="prefect")


def _make_tables(path: Path) -> None:
    """Prefect's own command, in a process of its own; this one imports the server meanwhile."""
    url = f"sqlite+aiosqlite:///{path}"
    migration = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**os.environ, "PREFECT_SERVER_DATABASE_CONNECTION_URL": url},
        stdin=subprocess.DEVNULL,
    )
    import prefect.server.api.server  # noqa: F401

    if migration.wait() != 0:
        raise StackError(
            "Prefect's database could not be made",
            where=str(path),
            got=f"`prefect server database upgrade` ended with exit code {migration.returncode}",
            next_step="the lines above say why; `modelyard doctor` looks for causes",
        )
