"""Starts and stops the stack, and shows its status."""

from __future__ import annotations

import http.client
import shutil
import threading
import time
import xmlrpc.client
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from dataclasses import dataclass, replace
from pathlib import Path

from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import PERIOD_SECONDS
from components.identity import source_code
from flows.platform import (
    connections,
    health,
    migrations,
    ports,
    prefect_services,
    running,
    services,
    stack_profile,
    state,
    supervisor,
)
from flows.platform.connections import Endpoints as Endpoints
from flows.platform.connections import configured as configured
from flows.platform.connections import endpoints as endpoints
from flows.platform.programs import (
    CONSOLE,
    FIRST_PORT,
    GUARDIAN,
    PREFECT_PAIR,
    SERVICE_PREFIX,
    SHIM_SECONDS,
    STOP_SECONDS,
    log_file,
    of_stack,
    prefect_names,
)
from flows.platform.state import StackState
from flows.platform.supervisor import ProcessState

TITLES = {"prefect": "Prefect", "mlflow": "MLflow"}
ALWAYS = ("runner", "controller")  # programs of every stack; own servers are added unless a setting names external ones
CONTROLLER_SECONDS = (
    15.0  # maximum age of the controller's heartbeat; it looks at all models each second, unless the machine is busy
)
ROLLING_SECONDS = 60.0  # for the first of two API servers to answer again, before the second one is restarted
ENDED = ("FATAL", "STOPPED", "EXITED", "UNKNOWN")
ATTEMPTS = 3  # to find ports that no other process takes before the servers listen, seconds after their start


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


def controller_heartbeat(project: Project) -> Path:
    """A file that the controller touches each time it has looked at all models."""
    return state.folder(project) / "controller.seen"


def up(
    project: Project,
    *,
    log: Log,
    runner: bool = True,
    timeout_seconds: float = 240,
    profile_name: stack_profile.Name | None = None,
) -> Endpoints:
    """Start the programs that are not running, and wait until they are ready.

    Args:
        log: called with one line for each program that is started or becomes ready.
        runner: also wait for the runner and the controller, which are started in any case.
        timeout_seconds: time for all programs to become ready.
        profile_name: what this stack has to be from now on; None: what an earlier call named.

    Raises:
        StackError: a program does not become ready; contains the end of its log. Or an external server does not answer,
            or `modelyard.toml` does not name all that the profile needs.
    """
    connections.require_external_servers(project)
    profile_name = profile_name or stack_profile.of(project)
    stack_profile.require(project, profile_name, reach=supervisor.processes(project) is None)
    servers = dict.fromkeys((*prefect_names(project), *connections.own_servers(project)))
    awaited = (*servers, *((*ALWAYS, CONSOLE) if runner else ()))
    for attempt in range(1, ATTEMPTS + 1):
        with state.lock(project, log):
            stack_state = _start_missing(project, log, profile_name)
        source_code.read_ahead(project.source_root)  # while the servers start
        try:
            _wait_for_all(project, stack_state, awaited, timeout_seconds, log)
            break
        except ports.PortTaken as port_taken:
            if attempt == ATTEMPTS:
                raise _not_ready_error(project, stack_state, port_taken.name, "has no port") from port_taken
            log(f"{port_taken.name} was started, but its port went to another process")
    return configured(project)


def down(project: Project, *, log: Log = lambda _: None) -> bool:
    """Stop the stack and kill what hangs, so that no process is left; returns whether anything ran."""
    with state.lock(project, log):
        stack_state = state.load(project)
        if stack_state is not None:
            state.save(project, replace(stack_state, wanted=False))
        return _stop(project, log)


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


def _first_ports(project: Project) -> dict[str, int]:
    """The first port to try for each of the project's own servers, and for the console."""
    pair = [name for name in prefect_names(project) if name in PREFECT_PAIR]
    return {name: FIRST_PORT[name] for name in (*connections.own_servers(project), CONSOLE, *pair)}


def _start_missing(project: Project, log: Log, profile_name: stack_profile.Name | None) -> StackState:
    """Start the supervisor, or else restart those of its programs that have ended or whose configuration changed."""
    stack_state, came_from = state.claim(project)
    if came_from is not None:
        _stop_at_old_root(project, came_from, log)
    supervisor_answers = supervisor.processes(project) is not None
    first_ports = _first_ports(project)
    if supervisor_answers and stack_state.wanted and first_ports.keys() <= stack_state.ports.keys():
        to_reassign = [name for name in first_ports if _is_taken(project, stack_state, name)]
    else:
        to_reassign = [] if supervisor_answers else list(first_ports)
    for name, first in first_ports.items():
        if name in to_reassign or name not in stack_state.ports:
            stack_state = _assign_port(project, stack_state, name, first, log)
    programs = of_stack(project, stack_state)
    if not supervisor_answers or any(p.differs(project) for p in programs if p.name in (*PREFECT_PAIR, "mlflow")):
        migrations.run_if_shared(project, log)
    stack_state = replace(stack_state, wanted=True, profile=profile_name)
    state.save(project, stack_state)
    changed = supervisor.write_configuration(project, programs)
    if not supervisor_answers:
        _end_orphans(project, [program.name for program in programs])
        titles = [TITLES[name] for name in first_ports if name in TITLES]
        log(f"starting {', '.join([*titles, 'the runner'])}, side by side")
        supervisor.start(project)
        return stack_state
    processes = supervisor.processes(project) or {}
    needed = {program.name for program in programs}
    obsolete = sorted(name for name in processes if name not in needed and not name.startswith(SERVICE_PREFIX))
    if obsolete:  # a setting names another server, or an earlier version of Modelyard had this program
        log(f"stopping {', '.join(obsolete)}: no longer part of this stack")
        supervisor.remove(project, obsolete)
    ended = [p.name for p in programs if p.name not in processes or processes[p.name].state in ENDED]
    to_restart = [program.name for program in programs if program.name in {*changed, *ended}]
    if any(name not in processes for name in to_restart):
        with supervisor.call(project) as proxy:
            proxy.supervisor.reloadConfig()
            for name in to_restart:
                if name not in processes:
                    proxy.supervisor.addProcessGroup(name)
    if to_restart:
        log(f"restarting {', '.join(to_restart)}; the other programs keep running")
        _restart(project, stack_state, [name for name in to_restart if name in processes])
    return stack_state


def _restart(project: Project, stack_state: StackState, names: list[str]) -> None:
    """Restart programs one after the other; the second API server of Prefect when the first one answers again."""
    for name in names:
        if name == PREFECT_PAIR[1] and PREFECT_PAIR[0] in names:
            deadline = time.monotonic() + ROLLING_SECONDS
            while not _is_ready(project, stack_state, PREFECT_PAIR[0]) and time.monotonic() < deadline:
                time.sleep(0.2)
        supervisor.restart(project, [name])


def _stop_at_old_root(project: Project, came_from: str, log: Log) -> None:
    """End the processes that a moved project still runs from its old folder.

    A service continues until its shim replaces it: the paths of its spec, secret and interpreter are in the old folder.
    A copied project does not touch the original's processes.
    """
    from flows.platform import orphans

    if state.is_there(came_from):
        log(f"this project is a copy of {came_from}: it gets ports, a secret and services of its own")
        return
    log(f"this project was moved here from {came_from}; its services start again from here")
    services.move(project, came_from)
    processes = orphans.find(came_from)
    orphans.kill([process for process in processes if orphans.program_of(process) in (None, GUARDIAN)])
    orphans.end([p for p in processes if not (orphans.program_of(p) or "").startswith(SERVICE_PREFIX)])


def _end_orphans(project: Project, names: list[str]) -> None:
    """End the processes of a killed stack that belong to programs which the supervisor will not start again."""
    from flows.platform import orphans

    services = {path.stem for path in (state.folder(project) / "serving.d").glob("*.conf")}
    supervised = {*names, *services}
    orphans.end([p for p in orphans.find(str(project.root)) if orphans.program_of(p) not in supervised])


def _assign_port(project: Project, stack_state: StackState, name: str, first: int, log: Log) -> StackState:
    preferred = stack_state.ports.get(name, first)
    other_ports = {port for other, port in stack_state.ports.items() if other != name}
    is_ours = name in stack_state.ports and health.is_ours(project, preferred)
    if preferred not in other_ports and (ports.is_free(preferred) or is_ours):
        return stack_state.with_port(name, preferred)
    port = ports.choose(first, other_ports)
    if preferred not in other_ports:
        log(f"port {preferred} is taken by {ports.holder(preferred)}; {name} uses {port}")
    return stack_state.with_port(name, port)


def _is_taken(project: Project, stack_state: StackState, name: str) -> bool:
    from flows.platform import orphans

    if name not in FIRST_PORT or ports.is_free(stack_state.ports[name]):
        return False
    is_ours = health.is_ours(project, stack_state.ports[name])
    return not is_ours and orphans.is_taken(str(project.root), stack_state.ports[name])


def _wait_for_all(
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
            wait_for_all(futures, return_when=FIRST_EXCEPTION)
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
    while not _is_ready(project, stack_state, name):
        ready_at_once = False
        if time.monotonic() > next_log:
            log(f"waiting for {name} ({time.monotonic() - started_at:.0f} s)")
            next_log += PERIOD_SECONDS
        if cancelled.is_set():
            return
        if _is_taken(project, stack_state, name):
            raise ports.PortTaken(name)
        process = (supervisor.processes(project) or {}).get(name)
        if process is not None and process.state == "FATAL":
            raise _not_ready_error(project, stack_state, name, "ended again and again")
        if time.monotonic() - started_at > timeout_seconds:
            raise _not_ready_error(project, stack_state, name, f"not ready after {timeout_seconds:.0f} s")
        cancelled.wait(0.2)
    if not ready_at_once:
        log(f"{name} ready after {time.monotonic() - started_at:.1f} s")


def _is_ready(project: Project, stack_state: StackState, name: str) -> bool:
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


def _not_ready_error(project: Project, stack_state: StackState, name: str, problem: str) -> StackError:
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


def _stop(project: Project, log: Log) -> bool:
    """Stop the runner first, which reports to Prefect, then the other programs, the supervisor and its orphans."""
    from flows.platform import orphans

    supervisor_answers = supervisor.answers(project)
    if supervisor_answers:
        log("stopping")
        try:
            supervisor.stop(project, ["runner"], STOP_SECONDS + SHIM_SECONDS)
            supervisor.stop(project, None, STOP_SECONDS + SHIM_SECONDS)
            with supervisor.call(project) as proxy:
                proxy.supervisor.shutdown()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            log("the supervisor does not answer; ending its processes")
        deadline = time.monotonic() + 10
        while supervisor.answers(project) and time.monotonic() < deadline:
            time.sleep(0.05)
    ended = orphans.end_orphans(str(project.root))
    shutil.rmtree(state.folder(project) / "running", ignore_errors=True)
    return supervisor_answers or ended > 0


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
        ready = _is_ready(project, stack_state, name)
    if ready:
        return ProgramStatus(name, "ready", url, process.pid, seconds, "", log_path)
    return ProgramStatus(name, "starting", url, process.pid or None, seconds, process.note, log_path)
