"""The shim between the supervisor and one program: `python -m flows.platform.shim PROGRAM.json`.

The shim corresponds to containerd's shim between daemon and container. The program has its own session and outlives the
supervisor. When the supervisor is killed, the kernel kills its shims (PR_SET_PDEATHSIG, Linux only). The shim of the
next supervisor adopts the running program if its file is unchanged. When the supervisor stops a shim with SIGTERM, the
shim ends its program.

Little but the standard library is imported here, because each program has a shim.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from components.core import readable
from flows.platform import process_identity, running

SET_PARENT_DEATH_SIGNAL = 1
LOG_BYTES = 5_000_000
LOG_CHECK_SECONDS = 60.0  # between two checks of the log's size
HANDOVER_SECONDS = 100.0  # for the replacement to become ready beside the current process
POLL_SECONDS = 0.2  # without pidfd_open


class ProgramFile(NamedTuple):
    """The content of a program's JSON file, and its sha256."""

    name: str
    document: dict[str, Any]
    digest: str

    @staticmethod
    def read(path: Path) -> ProgramFile:
        """Read a program's JSON file."""
        content = path.read_bytes()
        return ProgramFile(path.stem, json.loads(content), hashlib.sha256(content).hexdigest())


def main() -> None:
    """Run the program of the file until it ends or the supervisor stops the shim."""
    parent = os.getppid()
    path = Path(sys.argv[1]).resolve()
    program = ProgramFile.read(path)
    home = path.parent.parent
    if not program.document["shim"]:
        os.execvpe(program.document["command"][0], program.document["command"], _environment(program))  # noqa: S606
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the supervisor is gone")
    sigterm = _sigterm_descriptor()
    log = home / "logs" / f"{program.name}.log"
    _redirect_output_to(log)
    process = _adopt(home, program, log, sigterm) or _start(home, program, log, sigterm)
    code = _supervise(process, program, log, sigterm)
    running.forget(home, program.name)
    sys.exit(code)


def _adopt(home: Path, program: ProgramFile, log: Path, sigterm: int) -> _Process | None:
    """Adopt the process that an earlier shim started, or its replacement if the program has changed; else None."""
    record = running.read(home, program.name)
    if record is None or not record.identity.is_alive():
        return None
    process = _Process(record.identity.pid, None)
    if record.digest == program.digest:
        print(f"adopted process {process.pid}, which an earlier supervisor started", flush=True)
        return process
    if program.document["hands_over_to"] is not None:
        return _hand_over(process, home, program, log, sigterm)
    print(f"process {process.pid} runs another version of this program; ending it", flush=True)
    _terminate(process, int(program.document["stop_seconds"]))
    return None


def _hand_over(current: _Process, home: Path, program: ProgramFile, log: Path, sigterm: int) -> _Process:
    """Start a replacement beside the current process, and end the current process once the replacement is ready.

    The replacement takes over the listening socket, so no request is refused. If the replacement does not become ready,
    it is ended and the current process continues.
    """
    from flows.platform import orphans, process_mark

    environment = _environment(program)
    orphans.end_orphans(environment[process_mark.STACK], program.name, excluded=current.pid)
    replacement = _spawn(program, environment, log)
    print(f"process {replacement.pid} starts beside process {current.pid}, which runs another version", flush=True)
    folder = Path(program.document["folder"]) / program.document["hands_over_to"]
    deadline = time.monotonic() + HANDOVER_SECONDS
    while not _is_ready(replacement.pid, folder, int(program.document.get("workers", 1))):
        if replacement.wait(POLL_SECONDS, sigterm) or readable.wait([sigterm], 0) or time.monotonic() > deadline:
            print(f"process {replacement.pid} did not become ready; process {current.pid} goes on", flush=True)
            _terminate(replacement, 5)
            orphans.end_orphans(environment[process_mark.STACK], program.name, excluded=current.pid)
            running.note_failure(home, program.name, program.digest)
            return current
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(current.pid, signal.SIGTERM)
    _record(home, program, replacement)
    print(f"process {replacement.pid} has taken over; process {current.pid} ends", flush=True)
    _terminate(current, int(program.document["stop_seconds"]))
    orphans.end_orphans(environment[process_mark.STACK], program.name, excluded=replacement.pid)
    return replacement


def _is_ready(pid: int, folder: Path, workers: int) -> bool:
    """Whether `workers` child processes of a process have written a heartbeat, `<worker's pid>.json`, in a folder."""
    return sum(path.stem.isdecimal() and _parent(path.stem) == pid for path in folder.glob("*.json")) >= workers


def _parent(pid: str) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _start(home: Path, program: ProgramFile, log: Path, sigterm: int) -> _Process:
    environment = _environment(program)
    if program.document["clears_leftovers"]:
        from flows.platform import orphans, process_mark

        ended = orphans.end_orphans(environment[process_mark.STACK], program.name)
        if ended:
            print(f"ended {ended} process(es) that an earlier start left behind", flush=True)
    if program.document["after"] is not None:
        _wait_for(program.document["after"], sigterm)
    process = _spawn(program, environment, log)
    _record(home, program, process)
    return process


def _spawn(program: ProgramFile, environment: dict[str, str], log: Path) -> _Process:
    with log.open("ab") as stream:
        child = subprocess.Popen(
            program.document["command"],
            cwd=program.document["folder"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    return _Process(child.pid, child)


def _record(home: Path, program: ProgramFile, process: _Process) -> None:
    identity = process_identity.of(process.pid)
    if identity is not None:  # None: the process has ended already
        running.write(home, program.name, identity, program.digest)


class _Process:
    """The program's process: a child of this shim, or an adopted process."""

    def __init__(self, pid: int, child: subprocess.Popen[bytes] | None) -> None:
        self.pid = pid
        self._child = child
        self._identity = process_identity.of(pid)
        self._descriptor = -1
        with contextlib.suppress(AttributeError, OSError):  # not Linux
            self._descriptor = os.pidfd_open(pid)

    def wait(self, seconds: float, other: int = -1) -> bool:
        """Wait until the process ends, `other` is readable, or `seconds` have passed; returns whether it ended."""
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            seconds_left = deadline - time.monotonic()
            if seconds_left <= 0:
                return False
            watched = [descriptor for descriptor in (self._descriptor, other) if descriptor >= 0]
            timeout = seconds_left if self._descriptor >= 0 else min(seconds_left, POLL_SECONDS)
            ready = readable.wait(watched, timeout)
            if other in ready:
                return False
        return True

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        if self._child is not None:
            return self._child.poll() is not None
        return self._identity is None or not self._identity.is_alive()

    @property
    def code(self) -> int:
        """The exit code; 1 if it is unknown or the process ended by a signal."""
        code = self._child.returncode if self._child is not None else 1
        return code if code is not None and code >= 0 else 1


def _supervise(process: _Process, program: ProgramFile, log: Path, sigterm: int) -> int:
    """Wait until the program ends, rotating its log; on SIGTERM, terminate the program. Returns the exit code."""
    while not process.wait(LOG_CHECK_SECONDS, sigterm):
        if readable.wait([sigterm], 0):
            _terminate(process, int(program.document["stop_seconds"]))
            return 0
        _rotate(log)
    with contextlib.suppress(ProcessLookupError, PermissionError):  # remaining children may hold the port
        os.killpg(process.pid, signal.SIGTERM)
    return process.code


def _terminate(process: _Process, seconds: int) -> None:
    """Send SIGTERM to the program's process group; after `seconds` send SIGKILL to the group and to its workers.

    The workers of BentoML's process manager have sessions of their own, so a signal to the group does not reach them.
    """
    from flows.platform import orphans

    workers = orphans.descendants(process.pid)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    ended = process.wait(seconds) and _group_is_gone(process.pid, seconds)
    if not ended:
        workers += orphans.descendants(process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(5)
    orphans.kill(orphans.wait_until_gone(workers, 0))


def _group_is_gone(group: int, seconds: float) -> bool:
    deadline = time.monotonic() + min(seconds, 10)
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return True
        time.sleep(0.05)
    return False


def _environment(program: ProgramFile) -> dict[str, str]:
    """The environment of this process, of the program's file, and the servers' credentials, which are in no file."""
    credentials: dict[str, str] = {}
    if program.document["needs_credentials"]:
        from flows.platform import connections

        credentials = connections.variables(Path(program.document["folder"]))
    return {**os.environ, **program.document["environment"], **credentials}


def _wait_for(server: dict[str, Any], sigterm: int) -> None:
    from components.access import challenge, project_door
    from components.core.project import Project

    secret = project_door.secret_of(Project(Path(server["root"]))) or ""
    while not challenge.is_ours("127.0.0.1", int(server["port"]), secret):
        if readable.wait([sigterm], 0.3):
            sys.exit(0)


def _sigterm_descriptor() -> int:
    """A file descriptor that becomes readable when this process receives SIGTERM."""
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return reader


def _redirect_output_to(log: Path) -> None:
    """Redirect stdout and stderr to a log file: they are a pipe to the supervisor, which may end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)


def _rotate(log: Path) -> None:
    """Copy a long log to `<name>.1` and truncate it; the program keeps it open in append mode."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LOG_BYTES:
            log.with_name(log.name + ".1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


if __name__ == "__main__":
    main()
