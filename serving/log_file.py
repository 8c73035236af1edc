"""Append lines to the files of the prediction log: whole lines, within the room that the disk has left."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from components.contracts.prediction_log import FOLDER, LogSettings, hour_of

SYNC_SECONDS = 1.0  # between two writes to the disk itself, for a machine that loses its power
LEAST_FREE_BYTES = 500_000_000  # of the disk: with less, nothing is logged, as whoever may ask could fill it


def log_folder(settings: LogSettings) -> Path | None:
    """The folder of this process's log; None where the environment names none, or nothing is to be logged."""
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder and settings.share > 0 else None


class LogFile:
    """The files of one process: `<folder>/<hour>/<process><suffix>`.

    A file is opened for each write, as an hour may be sealed and its files removed at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = f"{os.getpid()}-{int(time.time() * 1000):x}"
        self._lock = threading.Lock()
        self._synced = time.monotonic()
        self._sync_thread = ThreadPoolExecutor(1, "prediction-log-sync")
        self._syncing: Future[None] | None = None

    def append(self, seconds: float, suffix: str, content: bytes) -> None:
        """Append lines to the file of an hour in one write; what a failed write left of them is cut off.

        Args:
            seconds: a time in the hour, since 1970.

        Raises:
            OSError: the disk has less than `LEAST_FREE_BYTES`, or refuses.
        """
        path = self._folder / hour_of(seconds) / f"{self._process}{suffix}"
        with self._lock:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free < LEAST_FREE_BYTES:
                least = f"less than {LEAST_FREE_BYTES // 1_000_000} MB are free on the disk"
                raise OSError(errno.ENOSPC, least, str(path))
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    done = os.write(descriptor, content)
                    while done < len(content):
                        done += os.write(descriptor, content[done:])
                except OSError:
                    os.ftruncate(descriptor, before)
                    raise
                self._sync(descriptor)
            finally:
                os.close(descriptor)

    def stop(self) -> None:
        """Wait until what was written is on the disk."""
        self._sync_thread.shutdown()

    def _sync(self, descriptor: int) -> None:
        """Let a thread write the file to the disk itself: a slow disk must not delay the next lines."""
        is_due = time.monotonic() - self._synced > SYNC_SECONDS
        if is_due and (self._syncing is None or self._syncing.done()):
            self._synced = time.monotonic()
            self._syncing = self._sync_thread.submit(_sync_and_close, os.dup(descriptor))


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    except OSError:  # the disk refuses: the next write says so
        pass
    finally:
        os.close(descriptor)
