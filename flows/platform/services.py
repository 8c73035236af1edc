"""Model services under the stack's supervisor."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import xmlrpc.client
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import StackError
from components.core.project import Project
from components.core.waiting import announced
from flows.platform import health, ports, running, state, supervisor
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
ATTEMPTS = 3  # to find a port that nobody else takes before the service listens


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

    A service that runs this very command in this very environment is left alone; another one is replaced, without a
    pause where it hands over. It comes back with the stack, until `stop_serving`.

    Args:
        command: its words; `{port}` in them becomes the port.
        environment: variables beside those of the stack; `{port}` likewise.
        hands_over_to, workers: as of `Program`.
        port: where it listens, or None: where it listened before, else the first free port from 3000 on.

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
            continue  # it is not free: another one is chosen
        return f"http://{ports.LOOPBACK}:{chosen}"
    raise StackError(f"{SERVICE_PREFIX}{name} has no port", got=f"{chosen} is held by {ports.holder(chosen)}")


def stop_serving(project: Project, name: str, log: Callable[[str], None] | None = None) -> bool:
    """Stop a service and forget it (its port is remembered); returns whether there was one.

    A request that the service has accepted may take a minute; it is answered before the process ends.

    Args:
        log: told every ten seconds that requests are still being answered.
    """
    program_name = SERVICE_PREFIX + name
    with state.lock(project), announced(f"{program_name} to answer what it has accepted", log):
        there = _include(project, program_name).exists()
        _remove(project, program_name, program_name in (supervisor.processes(project) or {}))
    return there


def move_service(project: Project, name: str, port: int) -> None:
    """Have a service listen on another port from its next start on; one that listens elsewhere is stopped.

    Raises:
        StackError: the stack is not running, or the port is taken.
    """
    program_name = SERVICE_PREFIX + name
    with state.lock(project):
        known = state.load(project)
        if known is None:
            raise StackError("the stack is not running", next_step="`modelyard up`")
        if known.ports.get(program_name) == port:
            return
        if not ports.is_free(port):
            raise StackError(
                f"port {port} is taken", got=ports.holder(port), next_step="choose another port, or free it"
            )
        _remove(project, program_name, program_name in (supervisor.processes(project) or {}))
        state.save(project, known.with_port(program_name, port))


def move(project: Project, came_from: str) -> None:
    """Let the services of a moved project name its new folder where they named the old one; called with the lock."""
    for path in launch_file(project, "any").parent.glob(f"{SERVICE_PREFIX}*.json"):
        atomic.write_text(path, document_text(_moved(json.loads(path.read_text()), came_from, str(project.root))))


def _moved(value: Any, before: str, now: str) -> Any:
    if isinstance(value, dict):
        return {key: _moved(inner, before, now) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, before, now) for inner in value]
    if isinstance(value, str) and (value == before or value.startswith(f"{before}/")):
        return now + value[len(before) :]
    return value


def service_url(project: Project, name: str) -> str | None:
    """Where a service is to answer; None if the stack does not run it."""
    known = state.load(project)
    port = known.ports.get(SERVICE_PREFIX + name) if known else None
    if port is None or not _include(project, SERVICE_PREFIX + name).exists():
        return None
    return f"http://{ports.LOOPBACK}:{port}"


def service_state(project: Project, name: str) -> str | None:
    """What the supervisor calls a service: STARTING, RUNNING, BACKOFF, FATAL, ...; None if it has none of that name."""
    process = (supervisor.processes(project) or {}).get(SERVICE_PREFIX + name)
    return process.state if process is not None else None


def _start(project: Project, template: Program, port: int | None) -> int:
    """Have the supervisor run a service, unless it does; where it is to listen.

    Args:
        template: the program, with `{port}` in its words and variables.
    """
    program_name, hands_over_to = template.name, template.hands_over_to
    with state.lock(project):
        present = supervisor.processes(project)
        known = state.load(project)
        if present is None or known is None:
            raise StackError("the stack is not running", next_step="`modelyard up`")
        same_place = port is None or known.ports.get(program_name) == port
        chosen = known.ports.get(program_name, FIRST_PORT) if port is None else port
        program = _at_port(template, chosen)
        process = present.get(program_name)
        unchanged = same_place and process is not None and not program.differs(project)
        runs = process is not None and process.state in ("RUNNING", "STARTING")
        if same_place and runs and not unchanged and hands_over_to and not _is_taken(project, process, chosen):
            running.forget_failure(state.folder(project), program_name)
            program.write(project)
            with supervisor.call(project) as proxy:  # the shim alone: the next one lets the new program take over
                proxy.supervisor.signalProcess(program_name, "KILL")
        elif not unchanged or not runs or _is_taken(project, process, chosen):
            _remove(project, program_name, process is not None)
            if not ports.is_free(chosen):
                if port is not None:
                    raise StackError(
                        f"port {port} is taken", got=ports.holder(port), next_step="choose another port, or free it"
                    )
                others = {other for owner, other in known.ports.items() if owner != program_name}
                chosen = ports.choose(FIRST_PORT, others)
                program = _at_port(template, chosen)
            state.save(project, known.with_port(program_name, chosen))
            program.write(project)
            atomic.write_text(_include(project, program_name), program.section(project))
            with supervisor.call(project) as proxy:
                proxy.supervisor.reloadConfig()
                proxy.supervisor.addProcessGroup(program_name)
    return chosen


def _is_taken(project: Project, process: ProcessState | None, port: int) -> bool:
    """Whether another process listens on a service's port."""
    if ports.is_free(port) or (process is not None and process.pid and ports.listens(process.pid, port)):
        return False
    from flows.platform import orphans

    return orphans.is_taken(str(project.root), port)


def _at_port(template: Program, port: int) -> Program:
    words = [word.replace("{port}", str(port)) for word in template.command]
    variables = {key: value.replace("{port}", str(port)) for key, value in template.environment.items()}
    return replace(template, command=words, environment=variables)


def _include(project: Project, program_name: str) -> Path:
    return state.folder(project) / "serving.d" / f"{program_name}.conf"


def _remove(project: Project, program_name: str, running: bool) -> None:
    _include(project, program_name).unlink(missing_ok=True)
    if not running:
        return
    with supervisor.call(project, STOP_SECONDS + SHIM_SECONDS) as proxy:
        with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
            proxy.supervisor.stopProcess(program_name)
        proxy.supervisor.reloadConfig()
        proxy.supervisor.removeProcessGroup(program_name)


def _digest(project: Project, program_name: str) -> str:
    return hashlib.sha256(launch_file(project, program_name).read_bytes()).hexdigest()


def _is_current(project: Project, program_name: str) -> bool:
    """Whether what runs was started from the program's present file."""
    record = running.read(state.folder(project), program_name)
    return record is not None and record.identity.lives() and record.digest == _digest(project, program_name)


def _wait(project: Project, program_name: str, port: int, timeout_seconds: float) -> None:
    begin = time.monotonic()
    while True:
        process = (supervisor.processes(project) or {}).get(program_name)
        if _is_taken(project, process, port):
            raise ports.PortTaken(program_name)
        runs = process is not None and process.state in ("STARTING", "RUNNING")
        if (
            runs
            and _is_current(project, program_name)
            and health.is_ready(port, READY)
            and health.is_ours(project, port)
        ):
            return
        late = time.monotonic() - begin > timeout_seconds
        failed = running.has_failed(state.folder(project), program_name, _digest(project, program_name))
        if late or failed or (process is not None and process.state == "FATAL"):
            log = log_file(project, program_name)
            raise StackError(
                f"{program_name} did not become ready" + (f" within {timeout_seconds:.0f} s" if late else ""),
                where=str(log),
                got="\n" + supervisor.tail(log),
            )
        time.sleep(0.2)
