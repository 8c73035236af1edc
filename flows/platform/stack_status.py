"""The status of every program of the stack, and which servers do not answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from components.core.project import Project
from flows.platform import connections, health, ports, readiness, state, supervisor
from flows.platform.lifecycle import ALWAYS
from flows.platform.programs import CONSOLE, PREFECT_PAIR, SERVICE_PREFIX, log_file, prefect_names
from flows.platform.state import StackState
from flows.platform.supervisor import ProcessState


@dataclass(frozen=True)
class ProgramStatus:
    """One program of the stack.

    Args:
        state: `ready`, `starting`, `failed` or `stopped`.
        seconds: time since the program was started, or None.
        detail: the problem; empty if there is none.
        is_own: whether the stack starts the program; else a setting names an external server.
    """

    name: str
    state: str
    url: str | None
    pid: int | None
    seconds: int | None
    detail: str
    log: str
    is_own: bool = True


def unreachable_servers(project: Project) -> tuple[str, ...]:
    """The names of the project's servers that do not answer."""
    servers = connections.of(project)
    stack_state = state.load(project)
    return tuple(
        server.name
        for server in (servers.prefect, servers.mlflow)
        if (server.is_own and (stack_state is None or not stack_state.wanted))
        or not connections.answers(project, server)
    )


def status(project: Project) -> tuple[ProgramStatus, ...]:
    """The status of every program of the stack."""
    stack_state = state.load(project)
    processes = supervisor.processes(project) or {}
    servers = connections.of(project)
    server_rows = tuple(
        _server_status(project, stack_state, server.name, processes)
        if server.is_own
        else _external_status(project, server)
        for server in (servers.prefect, servers.mlflow)
    )
    pair = [name for name in prefect_names(project) if name != "prefect"]
    names = [*pair, *ALWAYS, CONSOLE, *sorted(name for name in processes if name.startswith(SERVICE_PREFIX))]
    return (*server_rows, *(_status(project, stack_state, name, processes.get(name)) for name in names))


def _server_status(
    project: Project, stack_state: StackState | None, server: str, processes: Mapping[str, ProcessState]
) -> ProgramStatus:
    """The status of an own server: of two API servers of Prefect, process and log of one that runs."""
    if server != "prefect" or server in processes or PREFECT_PAIR[0] not in processes:
        return _status(project, stack_state, server, processes.get(server))
    program = next((name for name in PREFECT_PAIR if name in processes and processes[name].pid), PREFECT_PAIR[0])
    return replace(_status(project, stack_state, server, processes[program]), log=str(log_file(project, program)))


def _external_status(project: Project, server: connections.Server) -> ProgramStatus:
    """The status of an external server: only whether it answers is known."""
    state = "ready" if connections.answers(project, server) else "failed"
    detail = f"named by {server.named_by}" + ("" if state == "ready" else "; it does not answer")
    return ProgramStatus(server.name, state, server.page, None, None, detail, "", is_own=False)


def _status(project: Project, stack_state: StackState | None, name: str, process: ProcessState | None) -> ProgramStatus:
    port = stack_state.ports.get(name) if stack_state else None
    url = f"http://{ports.LOOPBACK}:{port}" if port else None
    log_path = str(log_file(project, name))
    if process is None or process.state in ("STOPPED", "EXITED") or stack_state is None:
        return ProgramStatus(name, "stopped", url, None, None, "", log_path)
    seconds = max(0, int(time.time()) - process.since) if process.pid else None
    if process.state == "FATAL":
        return ProgramStatus(name, "failed", url, None, None, process.note or "ended again and again", log_path)
    if name.startswith(SERVICE_PREFIX):
        ready = port is not None and health.is_ready(port, "/readyz") and health.is_ours(project, port)
    else:
        ready = readiness.is_ready(project, stack_state, name)
    if ready:
        return ProgramStatus(name, "ready", url, process.pid, seconds, "", log_path)
    return ProgramStatus(name, "starting", url, process.pid or None, seconds, process.note, log_path)
