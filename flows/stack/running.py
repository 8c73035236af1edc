"""Which process runs a program: `stack/running/<name>.json`, so that it is found again after its supervisor is gone."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple


class Identity(NamedTuple):
    """A process, told from a later one with the same number, whatever becomes of the clock.

    Args:
        started: clock ticks between the machine's start and its own (field 22 of /proc/PID/stat).
        boot: the id of the machine's present run.
    """

    pid: int
    started: int
    boot: str

    @staticmethod
    def of(pid: int) -> Identity:
        """The process that has a number now."""
        return Identity(pid, _started(pid), _boot())

    def is_alive(self) -> bool:
        """Whether it still runs; one that has ended and was not collected does not."""
        if self.boot != _boot():
            return False
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return _started(self.pid) == self.started and _state(self.pid) != "Z"


class Record(NamedTuple):
    """A running program.

    Args:
        digest: of the program's file when it was started.
        since: when it was started, seconds since 1970.
    """

    identity: Identity
    digest: str
    since: int


def read(home: Path, name: str) -> Record | None:
    """The record of a program; None where there is none."""
    try:
        path = _path(home, name)
        said = json.loads(path.read_text())
        identity = Identity(int(said["pid"]), int(said["started"]), str(said["boot"]))
        return Record(identity, str(said["digest"]), int(path.stat().st_mtime))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(home: Path, name: str, identity: Identity, digest: str) -> None:
    """Record what runs a program."""
    path = _path(home, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps({**identity._asdict(), "digest": digest}))
    fresh.replace(path)


def forget(home: Path, name: str) -> None:
    """Remove the record of a program that has ended."""
    _path(home, name).unlink(missing_ok=True)


def _path(home: Path, name: str) -> Path:
    return home / "running" / f"{name}.json"


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _started(pid: int) -> int:
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def _state(pid: int) -> str:
    fields = _fields(pid)
    return fields[0] if fields else ""


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""
