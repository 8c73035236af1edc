"""Flow runs whose process was killed: Prefect still calls them running; here they are called crashed.

Each flow run keeps a small file with the identity of its process while it works, and removes it before it ends. A file
that is still there when its process has ended is a killed run.
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
    """Say that this process works on a flow run, for as long as the block lasts."""
    path = _folder(project) / f"{flow_run}.json"
    atomic.write_text(path, json.dumps(process_identity.own().to_json()))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def mark_crashed(project: Project, prefect_api: str) -> list[str]:
    """Tell Prefect of the runs that were killed, so that they hold no slot of a schedule; returns their ids."""
    marked = []
    for path in sorted(_folder(project).glob("*.json")):
        if not _was_killed(path):
            continue
        state = {"type": "CRASHED", "name": "Crashed", "message": "its process was killed"}
        try:
            with connections.client(connections.of(project).prefect.credentials, prefect_api) as client:
                answer = client.post(f"/flow_runs/{path.stem}/set_state", json={"state": state, "force": True})
        except httpx.HTTPError:  # it is told another time: the file stays
            break
        if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
            path.unlink(missing_ok=True)
            marked.append(path.stem)
    return marked


def started_by_hand(project: Project) -> list[psutil.Process]:
    """Processes that work on a flow run and that the stack did not start, as its runner and its releases are."""
    processes = [process for path in sorted(_folder(project).glob("*.json")) if (process := _process(path))]
    return [process for process in processes if not _is_of_stack(process, project)]


def interrupt(processes: list[psutil.Process], grace_seconds: float = 30.0) -> list[psutil.Process]:
    """Stop runs as Ctrl-C does, so that they keep what they have and tell Prefect; returns those that go on."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    return orphans.wait_until_gone(processes, grace_seconds)


def _was_killed(path: Path) -> bool:
    """Whether the process of a flow run has ended without removing the run's file."""
    try:
        if _worker(path) is not None:
            return False
        path.lstat()  # a run that ended well meanwhile has removed its file before its process was gone
    except FileNotFoundError:
        return False
    return True


def _worker(path: Path) -> Identity | None:
    """The process that works on a flow run; None if it has ended.

    Raises:
        FileNotFoundError: the run has ended well.
    """
    text = path.read_text()
    try:
        identity = Identity.from_json(json.loads(text))
    except ValueError:  # of an earlier Modelyard
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
    except (psutil.Error, OSError):  # another user's, or gone
        return True


def _folder(project: Project) -> Path:
    return project.state / "flows"
