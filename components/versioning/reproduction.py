"""Run one data stage through DVC in this process; DVC starts the stage in a subprocess."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.core import disk_space, file_lock
from components.core.errors import Interrupted, ModelyardError, StageKilled, UsageError
from components.core.log import Log
from components.core.project import Project
from components.core.stage_process import ERROR_FILE, OUTPUT_FILE, failure
from components.core.waiting import PERIOD_SECONDS
from components.identity.source_code import SourceIdentity
from components.versioning import last_code, stage_code, staleness, torn_lock
from components.versioning.output_lines import OutputLines

_WAIT_SECONDS = 1800.0
_INTERRUPTED = 130


def reproduce(
    project: Project,
    dataset: str,
    stage: str,
    *,
    force: bool = False,
    on_output: Log | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run one data stage if DVC finds the stage stale; wait while another process uses DVC in this project.

    Args:
        force: run the stage even if it is current.
        on_output: called with each line of the stage's output; None: the lines go to this process's output.
        environment: variables of the stage's process beside ours.

    Raises:
        UsageError: no such stage.
        StageKilled: the stage's process was killed.
        ModelyardError: the error that the stage raised, with its class.
    """
    if stage not in stage_code.STAGES:
        raise UsageError("no such data stage", got=stage, expected=", ".join(stage_code.STAGES))
    with disk_space.reported(project.root):
        staleness.check(project, dataset)
        with data_lock(project, on_output):
            _reproduce(project, dataset, stage, environment or {}, force=force, on_output=on_output)


def _reproduce(
    project: Project, dataset: str, stage: str, environment: Mapping[str, str], *, force: bool, on_output: Log | None
) -> None:
    torn_lock.clear(project.root)
    code = stage_code.identity(project.root, project.dataset(dataset) / "dataset.yaml", stage)
    differs = _code_file_differs(project, dataset, stage, code)
    _run(project, f"code@{dataset}", {}, force=differs, on_output=on_output)
    _run(project, f"{stage}@{dataset}", environment, force=force, on_output=on_output)
    last_code.keep(project, dataset, stage, code)


def _code_file_differs(project: Project, dataset: str, stage: str, code: SourceIdentity) -> bool:
    """Whether the code file differs from the source and the installed libraries: DVC checks only the source."""
    path = stage_code.file(project.root, dataset, stage)
    return not path.is_file() or path.read_text() != stage_code.as_text(code)


def _run(project: Project, name: str, variables: Mapping[str, str], *, force: bool, on_output: Log | None) -> None:
    from dvc.exceptions import DvcException, ReproductionError
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.stage.exceptions import StageCmdFailedError, StageNotFound

    logging.getLogger("dvc").setLevel(logging.WARNING)  # the caller reports the running stage
    start = time.monotonic()
    next_message = start + PERIOD_SECONDS
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, OutputLines(Path(folder), on_output) as lines:
        error_file = Path(folder) / "error.json"
        environment = _environment(project) | {**variables, ERROR_FILE: str(error_file)}
        if on_output is not None:
            environment[OUTPUT_FILE] = str(lines.path)
        while True:
            try:
                with Repo(str(project.root)) as repo:
                    target = f"{project.root / 'dvc.yaml'}:{name}"
                    try:
                        repo.reproduce(targets=[target], single_item=True, force=force, run_env=environment)
                    except StageNotFound:
                        staleness.load(repo, project, name)  # says it in words
                        raise
                return
            except (DvcException, LockError) as error:
                cause = error.__cause__ if isinstance(error, ReproductionError) else error
                if isinstance(cause, LockError) and time.monotonic() - start < _WAIT_SECONDS:
                    if on_output is not None and time.monotonic() > next_message:
                        on_output("waiting for a `dvc` command that holds DVC's lock")
                        next_message += PERIOD_SECONDS
                    time.sleep(0.5)  # a `dvc` command of the user is running
                    continue
                if disk_space.is_full(error):  # of DVC itself: its cache, its lock, its database
                    raise
                status = _exit_status(cause) if isinstance(cause, StageCmdFailedError) else None
                raise _stage_error(name, error_file, status, cause, lines.last(), project.root) from error


def _exit_status(failure: object) -> int | None:
    """The exit status of the command, from the text of DVC's error: DVC has it nowhere else."""
    match = re.search(r"exited with (-?\d+)$", str(failure))
    return int(match[1]) if match else None


def _stage_error(
    name: str, error_file: Path, status: int | None, cause: object, last: str, root: Path
) -> ModelyardError:
    if stage_failure := failure(status or 0, error_file):
        return stage_failure
    if status == _INTERRUPTED:
        return Interrupted("stopped", where=name)
    if status is not None and (status < 0 or status > 128):  # a shell in between reports 128 + the signal
        number = -status if status < 0 else status - 128
        return StageKilled(
            f"{name} was killed", got=f"signal {number}", next_step="run again; nothing half-made is left"
        )
    if disk_space.message_says_full(last):  # of the shell, or of a program of the user's own
        return disk_space.as_error(OSError(errno.ENOSPC, last), root)
    return ModelyardError(f"{name} failed", got=last or str(cause), next_step="the lines above say where")


def _environment(project: Project) -> dict[str, str]:
    """Environment of the stage's shell: the directory of this Python is first in the path."""
    path = os.environ.get("PATH", "")
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}"}


@contextmanager
def data_lock(project: Project, log: Log | None) -> Iterator[None]:
    """Lock the project: one reproduction at a time; others wait, and log that they wait."""
    path = project.state / "data.lock"
    with file_lock.locked(path, f"another run that works on the data ({path})", log):
        yield
