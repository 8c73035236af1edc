"""One trainer a run folder."""

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
    """Hold a run folder; the kernel lets go of it when the process ends, however it ends.

    Waits first: a trainer that lost its parent needs a moment to write its checkpoint.

    Raises:
        TrainingError: another trainer holds it all that time.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    with (run_folder / "lock").open("a") as file:
        end = time.monotonic() + wait_seconds
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise TrainingError(
                        "another process trains here",
                        where=str(run_folder),
                        next_step="let it finish, or end it; its checkpoint is kept",
                    ) from error
            if not told:
                log(f"another process trains in {run_folder}; waiting up to {wait_seconds:.0f} s for it")
                told = True
            time.sleep(0.1)
        yield
