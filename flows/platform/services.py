"""Model services under the stack's supervisor."""

from __future__ import annotations

import json
import time
import xmlrpc.client
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import StackError
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import announced
from flows.platform import current_programs, health, ports, running, state, supervisor
from flows.platform.programs import (
    SERVICE_PREFIX,
    SHIM_SECONDS,
    STOP_SECONDS,
    Program,
    document_text,
    launch_file,
    log_file,
)
from flows.platform.supervisor import ProcessState

FIRST_PORT = 3000
READY = "/readyz"
STILL_RUNNING = 91  # of supervisor.xmlrpc.Faults
ATTEMPTS = 3  # to find a port that no other process takes before the service listens


def serve(
    project: Project,
    name: str,
    command: list[str],
    environment: dict[str, str],
    port: int | None = None,
    *,
    hands_over_to: str | None = None,
    workers: int = 1,
    timeout_seconds: float = 120,
) -> str:
    """Run a service as `serve-<name>` and wait until its /readyz answers 200; returns its URL.

    If the service runs the same command in the same environment, it is left unchanged; else it is replaced, without a
    pause if `hands_over_to` is set. The service restarts with the stack until `stop_serving`.

    Args:
        command: the arguments of the command; `{port}` is replaced by the port.
        environment: variables in addition to those of the stack; `{port}` is replaced by the port.
        hands_over_to, workers: as in `Program`.
        port: the port to listen on; None: the previous port, else the first free port from 3000 on.
        timeout_seconds: time for the service to become ready.

    Raises:
        StackError: the stack is not running, the port is taken, or the service does not become ready.
    """
    program = Program(
        SERVICE_PREFIX + name,
        command,
        environment,
        priority=20,
        stop_seconds=STOP_SECONDS,
        hands_over_to=hands_over_to,
        workers=workers,
    )
    for _ in range(ATTEMPTS):
        chosen = _start(project, program, port)
        try:
            _wait(project, SERVICE_PREFIX + name, chosen, timeout_seconds)
        except ports.PortTaken:
            continue  # `_start` chooses another port
        return f"http://{ports.LOOPBACK}:{chosen}"
    raise StackError(f"{SERVICE_PREFIX}{name} has no port", got=f"{chosen} is held by {ports.holder(chosen)}")


def stop_serving(project: Project, name: str, log: Log | None = None) -> bool:
    """Stop a service and remove it from the supervisor, but keep its port; returns whether it existed.

    Accepted requests, which may take a minute, are answered before the process ends.

    Args:
        log: called every ten seconds while requests are still being answered.
    """
    program_name = SERVICE_PREFIX + name
    with state.lock(project), announced(f"{program_name} to answer what it has accepted", log):
        existed = _include(project, program_name).exists()
        _remove(project, program_name, program_name in (supervisor.processes(project) or {}))
    return existed


def move_service(project: Project, name: str, port: int) -> None:
    """Set the port on which a service listens from its next start on; a service on another port is stopped.

    Raises:
        StackError: the stack is not running, or the port is taken.
    """
    program_name = SERVICE_PREFIX + name
    with state.lock(project):
        stack_state = state.load(project)
        if stack_state is None:
            raise StackError("the stack is not running", next_step="`modelyard up`")
        if stack_state.ports.get(program_name) == port:
            return
        if not ports.is_free(port):
            raise StackError(
                f"port {port} is taken", got=ports.holder(port), next_step="choose another port, or free it"
            )
        _remove(project, program_name, program_name in (supervisor.processes(project) or {}))
        state.save(project, stack_state.with_port(program_name, port))


def move(project: Project, came_from: str) -> None:
    """Replace the old root by the new one in the service files of a moved project; the caller holds `state.lock`."""
    for path in launch_file(project, "any").parent.glob(f"{SERVICE_PREFIX}*.json"):
        atomic.write_text(
            path, document_text(_replace_root(json.loads(path.read_text()), came_from, str(project.root)))
        )


def _replace_root(value: Any, old_root: str, new_root: str) -> Any:
    if isinstance(value, dict):
        return {key: _replace_root(inner, old_root, new_root) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replace_root(inner, old_root, new_root) for inner in value]
    if isinstance(value, str) and (value == old_root or value.startswith(f"{old_root}/")):
        return new_root + value[len(old_root) :]
    return value


def service_url(project: Project, name: str) -> str | None:
    """The URL of a service; None if the stack does not run the service."""
    stack_state = state.load(project)
    port = stack_state.ports.get(SERVICE_PREFIX + name) if stack_state else None
    if port is None or not _include(project, SERVICE_PREFIX + name).exists():
        return None
    return f"http://{ports.LOOPBACK}:{port}"


def names(project: Project) -> list[str]:
    """The models whose service the stack runs."""
    found = (state.folder(project) / "serving.d").glob(f"{SERVICE_PREFIX}*.conf")
    return sorted(path.stem.removeprefix(SERVICE_PREFIX) for path in found)


def service_state(project: Project, name: str) -> str | None:
    """The supervisor's state of a service: STARTING, RUNNING, BACKOFF, FATAL, ...; None if there is no such service."""
    process = (supervisor.processes(project) or {}).get(SERVICE_PREFIX + name)
    return process.state if process is not None else None


def _start(project: Project, template: Program, port: int | None) -> int:
    """Start a service, or replace it if its program or port has changed; returns its port.

    Args:
        template: the program, with `{port}` in its command and environment.
    """
    program_name, hands_over_to = template.name, template.hands_over_to
    with state.lock(project):
        processes = supervisor.processes(project)
        stack_state = state.load(project)
        if processes is None or stack_state is None:
            raise StackError("the stack is not running", next_step="`modelyard up`")
        same_port = port is None or stack_state.ports.get(program_name) == port
        other_ports = {other for owner, other in stack_state.ports.items() if owner != program_name}
        own_port = stack_state.ports.get(program_name) if port is None else port
        # A port that another service had is not taken, though it is free: a balancer may still ask that one there.
        chosen = ports.choose(FIRST_PORT, other_ports) if own_port is None else own_port
        program = _at_port(template, chosen)
        process = processes.get(program_name)
        unchanged = same_port and process is not None and not program.differs(project)
        runs = process is not None and process.state in ("RUNNING", "STARTING")
        if same_port and runs and not unchanged and hands_over_to and not _is_taken(project, process, chosen):
            running.forget_failure(state.folder(project), program_name)
            program.write(project)
            with supervisor.call(project) as proxy:  # only the shim is killed; the next shim hands over
                proxy.supervisor.signalProcess(program_name, "KILL")
        elif not unchanged or not runs or _is_taken(project, process, chosen):
            _remove(project, program_name, process is not None)
            if not ports.is_free(chosen):
                if port is not None:
                    raise StackError(
                        f"port {port} is taken", got=ports.holder(port), next_step="choose another port, or free it"
                    )
                chosen = ports.choose(FIRST_PORT, other_ports)
                program = _at_port(template, chosen)
            state.save(project, stack_state.with_port(program_name, chosen))
            program.write(project)
            atomic.write_text(_include(project, program_name), program.section(project))
            with supervisor.call(project) as proxy:
                proxy.supervisor.reloadConfig()
                proxy.supervisor.addProcessGroup(program_name)
    return chosen


def _is_taken(project: Project, process: ProcessState | None, port: int) -> bool:
    """Whether a process outside the stack listens on a service's port."""
    if ports.is_free(port) or (process is not None and process.pid and ports.listens(process.pid, port)):
        return False
    from flows.platform import orphans

    return orphans.is_taken(str(project.root), port)


def _at_port(template: Program, port: int) -> Program:
    command = [word.replace("{port}", str(port)) for word in template.command]
    variables = {key: value.replace("{port}", str(port)) for key, value in template.environment.items()}
    return replace(template, command=command, environment=variables)


def _include(project: Project, program_name: str) -> Path:
    return state.folder(project) / "serving.d" / f"{program_name}.conf"


def _remove(project: Project, program_name: str, running: bool) -> None:
    _include(project, program_name).unlink(missing_ok=True)
    if not running:
        return
    with supervisor.call(project) as proxy:
        for attempt in range(ATTEMPTS):
            supervisor.stop(project, [program_name], STOP_SECONDS + SHIM_SECONDS)
            proxy.supervisor.reloadConfig()
            try:
                proxy.supervisor.removeProcessGroup(program_name)
                return
            except xmlrpc.client.Fault as error:  # one that ends again and again was started again meanwhile
                if error.faultCode != STILL_RUNNING or attempt == ATTEMPTS - 1:
                    raise


def _wait(project: Project, program_name: str, port: int, timeout_seconds: float) -> None:
    started_at = time.monotonic()
    while True:
        process = (supervisor.processes(project) or {}).get(program_name)
        if _is_taken(project, process, port):
            raise ports.PortTaken(program_name)
        runs = process is not None and process.state in ("STARTING", "RUNNING")
        if (
            runs
            and current_programs.is_current(project, program_name)
            and health.is_ready(port, READY)
            and health.is_ours(project, port)
        ):
            return
        timed_out = time.monotonic() - started_at > timeout_seconds
        failed = running.has_failed(
            state.folder(project), program_name, current_programs.file_digest(project, program_name)
        )
        if timed_out or failed or (process is not None and process.state == "FATAL"):
            log = log_file(project, program_name)
            raise StackError(
                f"{program_name} did not become ready" + (f" within {timeout_seconds:.0f} s" if timed_out else ""),
                where=str(log),
                got="\n" + supervisor.tail(log),
            )
        time.sleep(0.2)
