"""Starting, stopping and looking at the stack as a whole."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import xmlrpc.client
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from dataclasses import dataclass, replace
from pathlib import Path

from components.contracts.errors import StackError
from components.contracts.project import Project
from flows.stack import health, ports, state, supervisor
from flows.stack.programs import FIRST_PORT, HEALTH, SERVICE_PREFIX, WORK_POOL, log_file, of_stack, prefect_api
from flows.stack.state import StackState
from flows.stack.supervisor import ProcessState

Say = Callable[[str], None]

PARTS = ("prefect", "mlflow", "runner", "watcher")
WATCHER_SECONDS = 15.0  # it looks each second; a busy machine may keep it waiting
ENDED = ("FATAL", "STOPPED", "EXITED", "UNKNOWN")
ATTEMPTS = 3  # to find ports that nobody else takes before the servers listen, which is seconds after their start


@dataclass(frozen=True)
class Endpoints:
    """Where the stack's servers answer."""

    prefect_api: str
    prefect_ui: str
    mlflow: str


@dataclass(frozen=True)
class ServiceStatus:
    """One program of the stack.

    Args:
        state: `ready`, `starting`, `failed` or `stopped`.
        seconds: since it was started, or None.
        detail: what is wrong, or nothing.
    """

    name: str
    state: str
    url: str | None
    pid: int | None
    seconds: int | None
    detail: str
    log: str


def endpoints(project: Project) -> Endpoints | None:
    """Where the servers answer; None unless both are well and ours. Two small requests, no server library."""
    known = state.load(project)
    if known is None or not known.wanted or not FIRST_PORT.keys() <= known.ports.keys():
        return None
    if not all(health.is_ready(known.ports[name], path, known.token) for name, path in HEALTH.items()):
        return None
    return _endpoints(known)


def configured(project: Project) -> Endpoints:
    """Where the servers are to answer, whether they do or not.

    Raises:
        StackError: the stack was never started here.
    """
    known = state.load(project)
    if known is None or not FIRST_PORT.keys() <= known.ports.keys():
        raise StackError("the stack was never started here", next_step="`modelyard up`")
    return _endpoints(known)


def warm_registry(project: Project) -> None:
    """The first request makes MLflow create its tables; two first requests at once would spoil them.

    Raises:
        StackError: it does not answer as it should.
    """
    known = state.load_or_new(project)
    with state.lock(project, "mlflow"):
        answer = health.ask(known.ports["mlflow"], "/api/2.0/mlflow/experiments/search?max_results=1", 60)
    if answer is None or answer[0] != 200:
        raise _not_ready(project, known, "mlflow", f"answers {answer[0]}" if answer else "does not answer")


def watcher_sign(project: Project) -> Path:
    """A file that the watcher touches after each look."""
    return state.folder(project) / "watcher.seen"


def up(project: Project, *, say: Say, runner: bool = True, timeout_seconds: float = 240) -> Endpoints:
    """Start what is not running and wait until it is ready; with everything running, only look.

    Args:
        say: told in one line what was started and what became ready after how many seconds.
        runner: also wait for the runner of schedules; it is started in any case.

    Raises:
        StackError: a server does not come up; holds the end of its log.
    """
    waited = PARTS if runner else PARTS[:2]
    for attempt in range(1, ATTEMPTS + 1):
        with state.lock(project):
            known = _start_where_needed(project, say)
        try:
            _wait_for_all(project, known, waited, timeout_seconds, say)
            break
        except ports.PortTaken as taken:
            if attempt == ATTEMPTS:
                raise _not_ready(project, known, taken.name, "has no port") from taken
            say(f"{taken.name} was started, but its port went to another process")
    return _endpoints(known)


def down(project: Project, *, say: Say = lambda _: None) -> bool:
    """Stop everything of this project's stack; nothing is left, whatever hangs. Returns whether anything ran."""
    with state.lock(project):
        known = state.load(project)
        if known is not None:
            state.save(project, replace(known, wanted=False))
        return _stop(project, say)


def status(project: Project) -> tuple[ServiceStatus, ...]:
    """Every program of the stack and how it is."""
    known = state.load(project)
    running = supervisor.processes(project) or {}
    names = [*PARTS, *sorted(name for name in running if name.startswith(SERVICE_PREFIX))]
    return tuple(_status(project, known, name, running.get(name)) for name in names)


def _endpoints(known: StackState) -> Endpoints:
    prefect, mlflow = known.ports["prefect"], known.ports["mlflow"]
    return Endpoints(prefect_api(prefect), f"http://{ports.LOOPBACK}:{prefect}", f"http://{ports.LOOPBACK}:{mlflow}")


def _start_where_needed(project: Project, say: Say) -> StackState:
    known = state.load_or_new(project)
    running = supervisor.processes(project)
    if running is not None:
        whole = FIRST_PORT.keys() <= known.ports.keys() and known.wanted
        if (
            whole
            and not _broken(project, known, running)
            and not supervisor.write_configuration(project, of_stack(project, known))
        ):
            return known
        say("the stack is not as it should be; starting it anew")
    _stop(project, lambda _: None)
    for name, first in FIRST_PORT.items():
        known = _with_port(known, name, first, say)
    known = replace(known, wanted=True)
    state.save(project, known)
    supervisor.write_configuration(project, of_stack(project, known))
    say("starting Prefect, MLflow and the runner, side by side")
    supervisor.start(project)
    return known


def _with_port(known: StackState, name: str, first: int, say: Say) -> StackState:
    preferred = known.ports.get(name, first)
    if ports.is_free(preferred):
        return known.with_port(name, preferred)
    others = {port for other, port in known.ports.items() if other != name}
    port = ports.choose(first, others)
    say(f"port {preferred} is taken by {ports.holder(preferred)}; {name} uses {port}")
    return known.with_port(name, port)


def _broken(project: Project, known: StackState, running: dict[str, ProcessState]) -> bool:
    for name in ("guardian", *PARTS):
        process = running.get(name)
        if process is None or process.state in ENDED or _is_taken(project, known, name):
            return True
    return False


def _is_taken(project: Project, known: StackState, name: str) -> bool:
    from flows.stack import leftovers

    if name not in FIRST_PORT or ports.is_free(known.ports[name]):
        return False
    ours = health.is_ready(known.ports[name], HEALTH[name], known.token)
    return not ours and leftovers.is_taken(str(project.root), known.ports[name])


def _wait_for_all(
    project: Project, known: StackState, names: tuple[str, ...], timeout_seconds: float, say: Say
) -> None:
    """Until all are ready or one of them fails, which nobody waits for any longer."""
    over = threading.Event()
    begin = time.monotonic()
    with ThreadPoolExecutor(len(names)) as threads:
        waiting = [threads.submit(_wait, project, known, name, begin, timeout_seconds, say, over) for name in names]
        try:
            wait_for_all(waiting, return_when=FIRST_EXCEPTION)
        finally:
            over.set()
    for done in waiting:
        done.result()


def _wait(
    project: Project,
    known: StackState,
    name: str,
    begin: float,
    timeout_seconds: float,
    say: Say,
    over: threading.Event,
) -> None:
    ready_at_once = True
    while not _is_ready(project, known, name):
        ready_at_once = False
        if over.is_set():
            return
        if _is_taken(project, known, name):
            raise ports.PortTaken(name)
        process = (supervisor.processes(project) or {}).get(name)
        if process is not None and process.state == "FATAL":
            raise _not_ready(project, known, name, "ended again and again")
        if time.monotonic() - begin > timeout_seconds:
            raise _not_ready(project, known, name, f"not ready after {timeout_seconds:.0f} s")
        over.wait(0.2)
    if name == "mlflow":
        warm_registry(project)
    if not ready_at_once:
        say(f"{name} ready after {time.monotonic() - begin:.1f} s")


def _is_ready(project: Project, known: StackState, name: str) -> bool:
    if name == "watcher":
        sign = watcher_sign(project)
        return sign.exists() and time.time() - sign.stat().st_mtime < WATCHER_SECONDS
    if name == "runner":
        return health.runner_is_online(known.ports["prefect"], WORK_POOL)
    return health.is_ready(known.ports[name], HEALTH[name], known.token)


def _not_ready(project: Project, known: StackState, name: str, what: str) -> StackError:
    log = log_file(project, name)
    port = known.ports.get(name)
    foreign = port is not None and not ports.is_free(port) and not health.is_ready(port, HEALTH[name], known.token)
    held = f"; port {port} is held by {ports.holder(port)}" if foreign and port is not None else ""
    return StackError(
        f"{name} {what}{held}",
        where=str(log),
        got="\n" + supervisor.tail(log),
        next_step="`modelyard down`, then `modelyard up`; `modelyard doctor` looks for causes",
    )


def _stop(project: Project, say: Say) -> bool:
    """Runner first (it wants to tell Prefect), then the rest at once, then the supervisor, then whatever is left."""
    from flows.stack import leftovers

    there = supervisor.answers(project)
    if there:
        say("stopping")
        try:
            with supervisor.call(project) as proxy:
                with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
                    proxy.supervisor.stopProcess("runner")
                proxy.supervisor.stopAllProcesses()
                proxy.supervisor.shutdown()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            say("the supervisor does not answer; ending its processes")
        deadline = time.monotonic() + 5
        while supervisor.answers(project) and time.monotonic() < deadline:
            time.sleep(0.05)
    left = leftovers.clear(str(project.root))
    return there or left > 0


def _status(project: Project, known: StackState | None, name: str, process: ProcessState | None) -> ServiceStatus:
    port = known.ports.get(name) if known else None
    url = f"http://{ports.LOOPBACK}:{port}" if port else None
    log = str(log_file(project, name))
    if process is None or process.state in ("STOPPED", "EXITED") or known is None:
        return ServiceStatus(name, "stopped", url, None, None, "", log)
    seconds = max(0, int(time.time()) - process.since) if process.pid else None
    if process.state == "FATAL":
        return ServiceStatus(name, "failed", url, None, None, process.note or "ended again and again", log)
    if name.startswith(SERVICE_PREFIX):
        ready = port is not None and health.is_ready(port, "/readyz", None)
    else:
        ready = _is_ready(project, known, name)
    if ready:
        return ServiceStatus(name, "ready", url, process.pid, seconds, "", log)
    return ServiceStatus(name, "starting", url, process.pid or None, seconds, process.note, log)
