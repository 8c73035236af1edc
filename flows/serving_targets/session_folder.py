"""The temporary folder of a session with a host: it holds the session's socket, and goes with it.

The folder is locked while its process lives, so that the next process removes those of killed ones: a process number
would not tell, since numbers are used again, and containers that share the folder have their own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "modelyard-host-"  # short, as the path of a socket must be
YOUNG_SECONDS = 60.0  # it may have been made, and not be locked yet


class SessionFolder:
    """A new folder of mode 0700."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = os.open(self.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def remove_left() -> list[Path]:
    """Remove the folders that killed processes of this user have left; returns them."""
    removed = []
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            about = path.lstat()
            if about.st_uid == os.getuid() and time.time() - about.st_mtime > YOUNG_SECONDS and _is_free(path):
                shutil.rmtree(path)
                removed.append(path)
    return removed


def _is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
