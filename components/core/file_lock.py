"""Lock files: one process at a time; the kernel releases the lock of a process that ends, however it ends.

`filelock` takes the locks with flock(2). Two kinds of lock call flock(2) themselves: the lock of a folder, which has no
lock file (`atomic.folder`), and the lock of a service's spec, whose code travels in bundles with few libraries.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.log import Log
from components.core.waiting import announced

POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path, holder: str, log: Log | None = None, *, timeout_seconds: float | None = None) -> Iterator[None]:
    """Hold the lock of a file during the block; wait until its present holder releases it.

    Args:
        path: the lock file, which is created and stays, unless the block removes it.
        holder: a noun phrase, as in "another run that works on the data".
        log: called every ten seconds while this process waits.
        timeout_seconds: how long to wait; None: without limit.

    Raises:
        TimeoutError: another process held the lock for the whole time.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if timeout_seconds is None else timeout_seconds, poll_interval=POLL_SECONDS)
    with announced(holder, log):
        try:
            lock.acquire()
        except Timeout as error:
            raise TimeoutError(f"{path} is locked by {holder}") from error
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    from filelock import FileLock, Timeout

    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # not for this user to open
        return False
