"""Whether the programs of the stack are ready, and waiting until they are."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import PERIOD_SECONDS
from flows.platform import connections, health, ports, prefect_services, running, state, supervisor
from flows.platform.programs import FIRST_PORT, log_file
from flows.platform.state import StackState

CONTROLLER_SECONDS = (
    15.0  # maximum age of the controller's heartbeat; it looks at all models each second, unless the machine is busy
)


def controller_heartbeat(project: Project) -> Path:
    """A file that the controller touches each time it has looked at all models."""
    return state.folder(project) / "controller.seen"


def wait_for_all(
    project: Project, stack_state: StackState, names: tuple[str, ...], timeout_seconds: float, log: Log
) -> None:
    """Wait until all programs are ready; if one fails, stop waiting for the others and raise its error."""
    cancelled = threading.Event()
    started_at = time.monotonic()
    with ThreadPoolExecutor(len(names)) as threads:
        futures = [
            threads.submit(_wait, project, stack_state, name, started_at, timeout_seconds, log, cancelled)
            for name in names
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            cancelled.set()
    for future in futures:
        future.result()


def _wait(
    project: Project,
    stack_state: StackState,
    name: str,
    started_at: float,
    timeout_seconds: float,
    log: Log,
    cancelled: threading.Event,
) -> None:
    ready_at_once = True
    next_log = started_at + PERIOD_SECONDS
    while not is_ready(project, stack_state, name):
        ready_at_once = False
        if time.monotonic() > next_log:
            log(f"waiting for {name} ({time.monotonic() - started_at:.0f} s)")
            next_log += PERIOD_SECONDS
        if cancelled.is_set():
            return
        if is_taken(project, stack_state, name):
            raise ports.PortTaken(name)
        process = (supervisor.processes(project) or {}).get(name)
        if process is not None and process.state == "FATAL":
            raise not_ready_error(project, stack_state, name, "ended again and again")
        if time.monotonic() - started_at > timeout_seconds:
            raise not_ready_error(project, stack_state, name, f"not ready after {timeout_seconds:.0f} s")
        cancelled.wait(0.2)
    if not ready_at_once:
        log(f"{name} ready after {time.monotonic() - started_at:.1f} s")


def is_ready(project: Project, stack_state: StackState, name: str) -> bool:
    """Whether a program does its work: a server answers, the runner and the controller have given a sign of life."""
    if name in FIRST_PORT:
        return health.is_ours(project, stack_state.ports[name])
    record = running.read(state.folder(project), name)
    if record is None or not record.identity.is_alive():  # heartbeats of an ended process do not count
        return False
    if name == prefect_services.NAME:
        return prefect_services.are_alive(project, record.identity.pid)
    if name == "controller":
        heartbeat = controller_heartbeat(project)
        # The absolute age, because the clock may have been set back since.
        return heartbeat.exists() and abs(time.time() - heartbeat.stat().st_mtime) < CONTROLLER_SECONDS
    return connections.worker_is_online(project, connections.shared_name(project), record.since)


def not_ready_error(project: Project, stack_state: StackState, name: str, problem: str) -> StackError:
    """The error of a program that does not become ready, with the end of its log."""
    path = log_file(project, name)
    port = stack_state.ports.get(name)
    is_foreign = port is not None and not ports.is_free(port) and not health.is_ours(project, port)
    holder = f"; port {port} is held by {ports.holder(port)}" if is_foreign and port is not None else ""
    return StackError(
        f"{name} {problem}{holder}",
        where=str(path),
        got="\n" + supervisor.tail(path),
        next_step="`modelyard down`, then `modelyard up`; `modelyard doctor` looks for causes",
    )


def is_taken(project: Project, stack_state: StackState, name: str) -> bool:
    """Whether a process of somebody else listens on a program's port."""
    from flows.platform import orphans

    if name not in FIRST_PORT or ports.is_free(stack_state.ports[name]):
        return False
    is_ours = health.is_ours(project, stack_state.ports[name])
    return not is_ours and orphans.is_taken(str(project.root), stack_state.ports[name])
