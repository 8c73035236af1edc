"""The checkpoint from which all ranks of a training resume: the one that the first rank finds.

On several machines a folder of a network file system may look older to one than to another for some seconds; ranks that
resumed from different steps would train on without an error, to a wrong result.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from torch import Tensor

from components.core.errors import TrainingError
from components.training.checkpoint import load_checkpoint
from components.training.ranks import Ranks

WAIT_SECONDS = 90.0  # an NFS client may keep what it knows of a folder for a minute
POLL_SECONDS = 1.0
NONE = -1


def load(
    folder: Path, train_fingerprint: str, ranks: Ranks, wait_seconds: float = WAIT_SECONDS
) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """As `load_checkpoint`; every rank calls it, and has the step of the first one.

    Raises:
        TrainingError: this rank does not see the checkpoint of the first one; or as of `load_checkpoint`.
    """
    found = load_checkpoint(folder, train_fingerprint)
    step = ranks.of_first(_step(found))
    end = time.monotonic() + wait_seconds
    while _step(found) != step:
        if time.monotonic() > end:
            raise TrainingError(
                "this machine does not see the checkpoint of the first process",
                where=f"process {ranks.rank}: {folder}",
                got=_text(_step(found)),
                expected=_text(step),
                next_step="is this folder the same one on all nodes? Correct its mount, then run again",
            )
        time.sleep(POLL_SECONDS)
        found = load_checkpoint(folder, train_fingerprint)
    return found


def _step(found: tuple[dict[str, Tensor], dict[str, Any]] | None) -> int:
    return NONE if found is None else int(found[1]["step"])


def _text(step: int) -> str:
    return "no checkpoint" if step == NONE else f"step {step}"
