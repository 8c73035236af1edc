"""What the workers of one service tell each other: a file each in the service's folder, `workers/<pid>.json`.

A worker writes its file when something changed, and touches it twice a second. One whose file is old, or whose process
is gone, is not among the living. The file's time is that of the monotonic clock, which all processes share:
a step of the wall clock makes no file old or new.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import ValidationError

from components.contracts.serving_spec import SlotStatus, WorkerStatus

FRESH_SECONDS = 5.0


class Heartbeats:
    """The files of a service's workers; this one's is `<pid>.json`."""

    def __init__(self, service: Path) -> None:
        self._folder = service / "workers"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._own = self._folder / f"{os.getpid()}.json"
        self._written = ""

    def write(self, statement: WorkerStatus) -> None:
        """Say it; the same words are not written again."""
        text = statement.model_dump_json()
        if text == self._written and self._own.exists():
            _touch(self._own)
            return
        # Not synced to the disk: after a crash of the machine nobody believes it anyway.
        fresh = self._own.with_suffix(".tmp")
        fresh.write_text(text)
        _touch(fresh)
        fresh.replace(self._own)
        self._written = text

    def others(self) -> list[WorkerStatus]:
        """The status of each other living worker; one that drains is no longer of the service."""
        return [status for path, status in self._read() if not status.draining and _lives(path, status.worker)]

    def removed(self, generation: int) -> SlotStatus | None:
        """The challenger that another worker took out under this very order; one that has ended since counts too."""
        return next(
            (
                held
                for _, statement in self._read()
                if statement.generation == generation and (held := statement.challenger) and held.state == "removed"
            ),
            None,
        )

    def clear(self) -> None:
        """Remove the files of workers that have ended."""
        for path, statement in self._read():
            if not _lives(path, statement.worker):
                path.unlink(missing_ok=True)

    def _read(self) -> list[tuple[Path, WorkerStatus]]:
        found = []
        for path in sorted(self._folder.glob("*.json")):
            if path == self._own:
                continue
            try:
                found.append((path, WorkerStatus.model_validate_json(path.read_bytes())))
            except (OSError, ValidationError):  # of an ended worker: cleared away, or of another release of ours
                continue
        return found


def _touch(path: Path) -> None:
    now = time.monotonic_ns()
    os.utime(path, ns=(now, now))


def _lives(path: Path, pid: int) -> bool:
    try:
        # A time to come is of another boot.
        if not 0 <= time.monotonic_ns() - path.stat().st_mtime_ns <= FRESH_SECONDS * 1e9:
            return False
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # it is there, of another user
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self").exists()  # no Linux: signal 0 has said it
    return state != "Z"
