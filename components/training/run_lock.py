"""A lock: one training process for each run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from components.core import file_lock
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
    holder = f"another process that trains in {run_folder}"
    with ExitStack() as lock:
        try:
            lock.enter_context(file_lock.locked(run_folder / "lock", holder, log, timeout_seconds=wait_seconds))
        except TimeoutError as error:
            raise TrainingError(
                "another process trains in this run folder",
                where=str(run_folder),
                next_step="let the other process finish, or end it; its checkpoint is kept",
            ) from error
        yield
