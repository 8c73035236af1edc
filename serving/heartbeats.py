"""The status of each worker of a service, for the other workers: `workers/<pid>.json` in the service's folder.

A worker writes its file after each change and touches it twice a second. A worker whose file is older than 5 s, or
whose process has ended, is not alive. The file's time is that of the monotonic clock, which all processes of a machine
share, so a step of the wall clock makes no file older or newer.
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

    def write(self, status: WorkerStatus) -> None:
        """Write the status of this worker; an unchanged status only touches the file."""
        text = status.model_dump_json()
        if text == self._written and self._own.exists():
            _touch(self._own)
            return
        # Not synced to the disk: after a crash of the machine the file is out of date in any case.
        fresh = self._own.with_suffix(".tmp")
        fresh.write_text(text)
        _touch(fresh)
        fresh.replace(self._own)
        self._written = text

    def others(self) -> list[WorkerStatus]:
        """The status of each other living worker; one that drains is no longer of the service."""
        return [status for path, status in self._read() if not status.draining and _lives(path, status.worker)]

    def removed(self, generation: int) -> SlotStatus | None:
        """The challenger that another worker, ended or not, removed under the spec of this generation."""
        return next(
            (
                challenger
                for _, status in self._read()
                if status.generation == generation
                and (challenger := status.challenger)
                and challenger.state == "removed"
            ),
            None,
        )

    def clear(self) -> None:
        """Remove the files of workers that have ended."""
        for path, status in self._read():
            if not _lives(path, status.worker):
                path.unlink(missing_ok=True)

    def _read(self) -> list[tuple[Path, WorkerStatus]]:
        heartbeats = []
        for path in sorted(self._folder.glob("*.json")):
            if path == self._own:
                continue
            try:
                heartbeats.append((path, WorkerStatus.model_validate_json(path.read_bytes())))
            except (OSError, ValidationError):  # removed meanwhile, or written by another version of Modelyard
                continue
        return heartbeats


def _touch(path: Path) -> None:
    now = time.monotonic_ns()
    os.utime(path, ns=(now, now))


def _lives(path: Path, pid: int) -> bool:
    try:
        # A time in the future is from before a reboot.
        if not 0 <= time.monotonic_ns() - path.stat().st_mtime_ns <= FRESH_SECONDS * 1e9:
            return False
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # it exists and belongs to another user
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return not Path("/proc/self").exists()  # not Linux; signal 0 has shown that it exists
    return state != "Z"
