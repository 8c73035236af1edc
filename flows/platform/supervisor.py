"""supervisord: its configuration, its start, and requests to its XML-RPC interface."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core import atomic
from components.core.errors import StackError
from components.core.project import Project
from flows.platform import environment, running, state
from flows.platform.process_mark import PROGRAM, STACK
from flows.platform.programs import GUARDIAN, SHIM_SECONDS, Program, log_file

TIMEOUT_SECONDS = 20
STOP_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ProcessState:
    """The supervisor's state of a program: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, EXITED, ...

    Args:
        since: start time, seconds since 1970.
        note: the supervisor's error when it could not start the program.
    """

    name: str
    state: str
    pid: int
    since: int
    note: str


def write_configuration(project: Project, programs: tuple[Program, ...]) -> list[str]:
    """Write the configuration and the programs' files; returns the names of the programs whose files changed."""
    home = state.folder(project)
    for folder in ("logs", "serving.d"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for name in ("prefect", "mlflow", "bentoml"):
        (project.state / name).mkdir(parents=True, exist_ok=True)
    changed = [program.name for program in programs if program.differs(project)]
    for program in programs:
        program.write(project)
    relative_home = home.relative_to(project.root)  # supervisord runs in the project's root
    socket = state.socket_path(project)
    head = f"""\
[supervisord]
logfile={relative_home}/logs/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={relative_home}/supervisor.pid
childlogdir={relative_home}/logs
identifier=modelyard
silent=true
umask=077

[unix_http_server]
file={socket.relative_to(project.root) if socket.is_relative_to(project.root) else socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files=serving.d/*.conf
"""
    text = "\n".join([head, *(program.section(project) for program in programs)])
    atomic.write_text(configuration_file(project), text)
    return changed


def configuration_file(project: Project) -> Path:
    """supervisord's configuration file, written at each start."""
    return state.folder(project) / "supervisord.conf"


def start(project: Project) -> None:
    """Start supervisord in the background; its shims adopt the running programs of a killed supervisor.

    Raises:
        StackError: supervisord does not answer within 15 seconds.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    variables.pop(PROGRAM, None)
    variables[STACK] = str(project.root)
    environment.quiet(variables)
    command = [
        sys.executable,
        "-m",
        "supervisor.supervisord",
        "-c",
        str(configuration_file(project).relative_to(project.root)),
    ]
    started = subprocess.run(
        command,
        cwd=project.root,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        umask=0o077,
    )
    deadline = time.monotonic() + 15
    while started.returncode == 0 and time.monotonic() < deadline:
        if answers(project):
            return
        time.sleep(0.05)
    raise StackError(
        "the stack's supervisor did not start",
        where=str(configuration_file(project)),
        got=(started.stderr.strip() or tail(log_file(project, "supervisor"))) or f"exit code {started.returncode}",
        next_step=f"read {log_file(project, 'supervisor')}",
    )


def answers(project: Project) -> bool:
    """Whether the supervisor answers."""
    return processes(project) is not None


def processes(project: Project) -> dict[str, ProcessState] | None:
    """The state of each program by name; None if the supervisor does not answer."""
    try:
        with call(project) as proxy:
            rows: Any = proxy.supervisor.getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None
    return {row["name"]: _state(project, row) for row in rows}


def pid(project: Project) -> int | None:
    """The supervisor's PID; None if the supervisor does not answer."""
    try:
        with call(project) as proxy:
            return int(str(proxy.supervisor.getPID()))
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return None


def call(project: Project, seconds: float = 0) -> xmlrpc.client.ServerProxy:
    """The supervisor's XML-RPC interface. Calls raise OSError if no supervisor listens, xmlrpc.client.Fault on errors.

    Args:
        seconds: added to the timeout of a call, for calls that wait until programs have stopped.
    """
    transport = _UnixTransport(state.socket_path(project), TIMEOUT_SECONDS + seconds)
    return xmlrpc.client.ServerProxy("http://supervisor", transport=transport)


def stop(project: Project, names: Collection[str] | None, seconds: float) -> None:
    """Stop programs, and wait until they have ended. A program that is not running is left alone.

    The supervisor's own wait (`stopProcess` without `wait=False`) keeps a processor busy until the program has ended.

    Args:
        names: the programs; None for all.
        seconds: time to end.

    Raises:
        OSError: no supervisor listens, or (TimeoutError) a program has not ended.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS + seconds
    with call(project) as proxy:
        if names is None:
            proxy.supervisor.stopAllProcesses(False)
        for name in names or ():
            with contextlib.suppress(xmlrpc.client.Fault):  # it was not running
                proxy.supervisor.stopProcess(name, False)
        while True:
            rows: Any = proxy.supervisor.getAllProcessInfo()
            stopping = [row["name"] for row in rows if row["statename"] == "STOPPING"]
            if not any(names is None or name in names for name in stopping):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(stopping)} did not end within {TIMEOUT_SECONDS + seconds:.0f} s")
            time.sleep(STOP_POLL_SECONDS)


def restart(project: Project, names: Collection[str]) -> None:
    """Restart programs one after the other, with the current content of their files."""
    for name in names:
        stop(project, [name], SHIM_SECONDS)
        with call(project, SHIM_SECONDS) as proxy, contextlib.suppress(xmlrpc.client.Fault):  # it was started meanwhile
            proxy.supervisor.startProcess(name)


def remove(project: Project, names: Collection[str]) -> None:
    """Stop programs that are no longer in the configuration, and remove them from the supervisor."""
    stop(project, names, SHIM_SECONDS)
    with call(project) as proxy:
        proxy.supervisor.reloadConfig()
        for name in names:
            with contextlib.suppress(xmlrpc.client.Fault):
                proxy.supervisor.removeProcessGroup(name)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 20_000))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def _state(project: Project, row: dict[str, Any]) -> ProcessState:
    """The state of a program, with the PID of its process instead of its shim; PID 0 while the shim starts it."""
    pid, since = row["pid"], row["start"]
    if pid and row["name"] != GUARDIAN:
        record = running.read(state.folder(project), row["name"])
        alive = record is not None and record.identity.is_alive()
        pid, since = (record.identity.pid, record.since) if record is not None and alive else (0, since)
    return ProcessState(row["name"], row["statename"], pid, since, row["spawnerr"])


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(self.timeout)
            connected.connect(str(self._path))
        except OSError:
            connected.close()
            raise
        self.sock = connected


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host: Any) -> _UnixConnection:
        self.close()  # the connection of the previous call
        connection = _UnixConnection(self._path, self._timeout)
        self._connection = (host, connection)  # what `close` closes
        return connection
