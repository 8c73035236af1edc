"""A lock: one training process for each run folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import TrainingError
from components.training.messages import log

WAIT_SECONDS = 60.0


@contextmanager
def locked(run_folder: Path, wait_seconds: float = WAIT_SECONDS) -> Iterator[None]:
    """Lock a run folder; the kernel releases the lock when the process ends.

    Waits for another process, which may be writing its last checkpoint after its parent ended.

    Raises:
        TrainingError: another process holds the lock for the whole time.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    with (run_folder / "lock").open("a") as file:
        end = time.monotonic() + wait_seconds
        logged = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise TrainingError(
                        "another process trains in this run folder",
                        where=str(run_folder),
                        next_step="let the other process finish, or end it; its checkpoint is kept",
                    ) from error
            if not logged:
                log(f"another process trains in {run_folder}; waiting up to {wait_seconds:.0f} s for it")
                logged = True
            time.sleep(0.1)
        yield
