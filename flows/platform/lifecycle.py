"""Starts and stops the stack."""

from __future__ import annotations

import http.client
import shutil
import time
import xmlrpc.client
from dataclasses import replace

from components.access import redis_owner, server_redis
from components.contracts import settings
from components.core.errors import UsageError
from components.core.log import Log
from components.core.project import Project
from components.identity import source_code
from flows.platform import (
    connections,
    current_programs,
    health,
    migrations,
    people_check,
    ports,
    readiness,
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
    of_stack,
    prefect_names,
)
from flows.platform.state import StackState

TITLES = {"prefect": "Prefect", "mlflow": "MLflow"}
ALWAYS = ("runner", "controller")  # programs of every stack; own servers are added unless a setting names external ones
ROLLING_SECONDS = 60.0  # for the first of two API servers to answer again, before the second one is restarted
ENDED = ("FATAL", "STOPPED", "EXITED", "UNKNOWN")
ATTEMPTS = 3  # to find ports that no other process takes before the servers listen, seconds after their start


def up(
    project: Project,
    *,
    log: Log,
    runner: bool = True,
    timeout_seconds: float = 240,
    profile_name: stack_profile.Name | None = None,
    take_redis: bool = False,
    tells_ports: bool = True,
) -> Endpoints:
    """Start the programs that are not running, and wait until they are ready.

    Args:
        log: called with one line for each program that is started or becomes ready.
        runner: also wait for the runner and the controller, which are started in any case.
        timeout_seconds: time for all programs to become ready.
        profile_name: what this stack has to be from now on; None: what an earlier call named.
        take_redis: take the Redis between the API servers of Prefect, also from another Prefect.
        tells_ports: log which usual ports are taken, and which are used in their place.

    Raises:
        UsageError: `take_redis`, and no Redis is named.
        StackError: a program does not become ready; contains the end of its log. Or an external server does not answer,
            or `modelyard.toml` does not name all that the profile needs.
    """
    connections.require_external_servers(project)
    reach = profile_name is not None or supervisor.processes(project) is None  # a server that serves is not asked again
    profile_name = profile_name or stack_profile.of(project)
    stack_profile.require(project, profile_name, reach=reach)
    if take_redis:
        _take_redis(project, log)
    servers = dict.fromkeys((*prefect_names(project), *connections.own_servers(project)))
    awaited = (*servers, *((*ALWAYS, CONSOLE) if runner else ()))
    for attempt in range(1, ATTEMPTS + 1):
        with state.lock(project, log):
            stack_state = _start_missing(project, log, profile_name, log if tells_ports else lambda _: None)
        source_code.read_ahead(project.source_root)  # while the servers start
        try:
            readiness.wait_for_all(project, stack_state, awaited, timeout_seconds, log)
            break
        except ports.PortTaken as port_taken:
            if attempt == ATTEMPTS:
                raise readiness.not_ready_error(project, stack_state, port_taken.name, "has no port") from port_taken
            log(f"{port_taken.name} was started, but its port went to another process")
    return configured(project)


def _take_redis(project: Project, log: Log) -> None:
    if not server_redis.is_named(project) or "prefect" not in connections.own_servers(project):
        raise UsageError(
            "there is no Redis to take",
            where=str(project.root / settings.FILE_NAME),
            expected="redis below [servers], and a Prefect of the project's own",
            next_step=f"`modelyard up` without {redis_owner.OPTION}",
        )
    redis_owner.claim(project, take=True)
    log(f"{settings.read(project.root).servers.redis} is this project's from now on")


def down(project: Project, *, log: Log = lambda _: None) -> bool:
    """Stop the stack and kill what hangs, so that no process is left; returns whether anything ran."""
    with state.lock(project, log):
        stack_state = state.load(project)
        if stack_state is not None:
            state.save(project, replace(stack_state, wanted=False))
        return _stop(project, log)


def _first_ports(project: Project) -> dict[str, int]:
    """The first port to try for each of the project's own servers, and for the console."""
    pair = [name for name in prefect_names(project) if name in PREFECT_PAIR]
    return {name: FIRST_PORT[name] for name in (*connections.own_servers(project), CONSOLE, *pair)}


def _start_missing(project: Project, log: Log, profile_name: stack_profile.Name | None, log_port: Log) -> StackState:
    """Start the supervisor, or else restart those of its programs that have ended or whose configuration changed."""
    stack_state, came_from = state.claim(project)
    if came_from is not None:
        _stop_at_old_root(project, came_from, log)
    supervisor_answers = supervisor.processes(project) is not None
    first_ports = _first_ports(project)
    if supervisor_answers and stack_state.wanted and first_ports.keys() <= stack_state.ports.keys():
        to_reassign = [name for name in first_ports if readiness.is_taken(project, stack_state, name)]
    else:
        to_reassign = [] if supervisor_answers else list(first_ports)
    for name, first in first_ports.items():
        if name in to_reassign or name not in stack_state.ports:
            stack_state = _assign_port(project, stack_state, name, first, log_port)
    programs = of_stack(project, stack_state)
    servers = [program for program in programs if program.name in (*PREFECT_PAIR, "mlflow")]
    if not supervisor_answers or any(one.differs(project) for one in servers):
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
    outdated = current_programs.outdated(project, programs)  # an `up` was cut off before it restarted them
    if "mlflow" not in (*changed, *ended, *outdated) and (gone := people_check.gone_account(project)) is not None:
        log(f"MLflow does not know {gone}, the platform's own account, which was removed; it makes it at its start")
        outdated.append("mlflow")
    to_restart = [program.name for program in programs if program.name in {*changed, *ended, *outdated}]
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
            while not readiness.is_ready(project, stack_state, PREFECT_PAIR[0]) and time.monotonic() < deadline:
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
