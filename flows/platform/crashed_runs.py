"""Marks flow runs as crashed whose process was killed; Prefect still lists these runs as running.

Each flow run has a file with the identity of its process, and removes the file before the process ends. If the file
exists and the process does not, the run was killed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from components.core import atomic
from components.core.project import Project
from flows.platform import connections, orphans, process_identity
from flows.platform.process_identity import Identity
from flows.platform.process_mark import STACK


@contextmanager
def tracked(project: Project, flow_run: str) -> Iterator[None]:
    """Record this process as the worker of a flow run for the duration of the block."""
    path = _folder(project) / f"{flow_run}.json"
    atomic.write_text(path, json.dumps(process_identity.own().to_json()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def mark_crashed(project: Project, prefect_api: str) -> list[str]:
    """Set the state of killed runs to CRASHED in Prefect, which frees their concurrency slots; returns the run ids."""
    marked = []
    for path in sorted(_folder(project).glob("*.json")):
        if not _was_killed(path):
            continue
        state = {"type": "CRASHED", "name": "Crashed", "message": "its process was killed"}
        try:
            with connections.client(connections.of(project).prefect.credentials, prefect_api) as client:
                answer = client.post(f"/flow_runs/{path.stem}/set_state", json={"state": state, "force": True})
        except httpx.HTTPError:  # the file stays, so the next call tries again
            break
        if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
            path.unlink(missing_ok=True)
            marked.append(path.stem)
    return marked


def started_by_hand(project: Project) -> list[psutil.Process]:
    """Processes of flow runs that a user started; those of the stack's runner and controller are excluded."""
    processes = [process for path in sorted(_folder(project).glob("*.json")) if (process := _process(path))]
    return [process for process in processes if not _is_of_stack(process, project)]


def interrupt(processes: list[psutil.Process], grace_seconds: float = 30.0) -> list[psutil.Process]:
    """Send SIGINT to runs, so that they save their work and report to Prefect; returns those that still run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    return orphans.wait_until_gone(processes, grace_seconds)


def _was_killed(path: Path) -> bool:
    """Whether the process of a flow run has ended without removing the run's file."""
    try:
        if _worker(path) is not None:
            return False
        path.lstat()  # a run that ended normally meanwhile has removed its file
    except FileNotFoundError:
        return False
    return True


def _worker(path: Path) -> Identity | None:
    """The process of a flow run; None if the process has ended.

    Raises:
        FileNotFoundError: the run has ended normally.
    """
    text = path.read_text()
    try:
        identity = Identity.from_json(json.loads(text))
    except ValueError:  # written by an earlier version of Modelyard
        return None
    return identity if identity.is_alive() else None


def _process(path: Path) -> psutil.Process | None:
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        if identity := _worker(path):
            return psutil.Process(identity.pid)
    return None


def _is_of_stack(process: psutil.Process, project: Project) -> bool:
    try:
        return process.environ().get(STACK) == str(project.root)
    except (psutil.Error, OSError):  # another user's process, or the process has ended
        return True


def _folder(project: Project) -> Path:
    return project.state / "flows"
