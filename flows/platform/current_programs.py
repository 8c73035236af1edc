"""Whether the programs that run are those of the settings of now.

`up` writes the programs' files and then restarts those that have changed. If it is cut off between the two, the files
are new and the processes are not: a process is compared by the digest of the file that it was started from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from components.contracts import settings
from components.core.errors import StackError
from components.core.project import Project
from flows.platform import connections, running, state
from flows.platform.programs import Program, launch_file, of_stack

MLFLOW = "mlflow"


def file_digest(project: Project, name: str) -> str:
    """sha256 of a program's file."""
    return hashlib.sha256(launch_file(project, name).read_bytes()).hexdigest()


def is_current(project: Project, name: str) -> bool:
    """Whether the running process was started from the current version of the program's file."""
    record = running.read(state.folder(project), name)
    return record is not None and record.identity.is_alive() and record.digest == file_digest(project, name)


def outdated(project: Project, programs: Iterable[Program]) -> list[str]:
    """The names of the programs whose process runs, and was started from another version of the program's file."""
    records = {program.name: running.read(state.folder(project), program.name) for program in programs}
    return [
        name
        for name, record in records.items()
        if record is not None and record.identity.is_alive() and record.digest != file_digest(project, name)
    ]


def require_mlflow(project: Project, url: str) -> None:
    """Check that the MLflow that answers is the one that the settings name now, with the database that they name.

    Args:
        url: of the MLflow that is going to be asked.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        StackError: it is another one.
    """
    server, stack_state = connections.of(project).mlflow, state.load(project)
    programs = of_stack(project, stack_state) if server.is_own and stack_state is not None else ()
    wanted = next((program for program in programs if program.name == MLFLOW), None)
    is_named = wanted is None or (not wanted.differs(project) and is_current(project, MLFLOW))
    if server.url == url and is_named:
        return
    raise StackError(
        "the MLflow that runs is not the one that the settings name now; nothing was asked of it, and nothing written",
        where=str(project.root / settings.FILE_NAME),
        got=url if server.url != url else "a process that was started with other settings",
        expected=settings.read(project.root).servers.mlflow if server.is_own else server.url,
        next_step="the same command again: `modelyard up` restarts an MLflow whose settings have changed",
    )
