"""Which error a training of several processes ends with, from what its ranks left and how they ended."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path

from components.core.errors import Interrupted, ModelyardError, StageKilled
from components.training.rank_files import error_file
from components.training.ranks import PEER_LOST

KILLED = (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)


def written(folder: Path, count: int) -> dict[int, ModelyardError]:
    """The errors that ranks have written, by rank."""
    return {
        rank: ModelyardError.from_dict(json.loads(error_file(folder, rank).read_text()))
        for rank in range(count)
        if error_file(folder, rank).is_file()
    }


def first(
    errors: Mapping[int, ModelyardError], codes: Mapping[int, int], count: int, *, is_interrupted: bool
) -> ModelyardError:
    """The error of the rank that failed first: what follows from its end is left out.

    Args:
        errors: that ranks have written.
        codes: exit codes of ranks that failed, in the order of their ends where that is known; negative, or 128 more
            than it: a signal.
        count: number of ranks.
        is_interrupted: whether the training was asked to stop.
    """
    for _, error in sorted(errors.items()):
        # The launcher stops the other ranks after the first has ended, which they report as an interruption.
        if error.what != PEER_LOST and (is_interrupted or not isinstance(error, Interrupted)):
            return error
    others = {rank: code for rank, code in codes.items() if rank not in errors}
    for rank, code in others.items():
        if (number := _signal(code)) in KILLED:
            return killed(rank, number, count)
    for rank, code in others.items():
        if _signal(code) == signal.SIGTERM:  # of somebody else, or of the launcher after a rank that left no trace
            continue
        return ModelyardError(
            f"process {rank} of {count} of the training failed",
            got=f"exit code {code}",
            next_step="read its output above",
        )
    return killed(min(others, default=min(errors, default=0)), signal.SIGTERM, count)


def killed(rank: int, number: int, count: int) -> StageKilled:
    """The error of a rank that a signal has ended."""
    return StageKilled(
        f"process {rank} of {count} of the training was killed",
        got=signal.Signals(number).name,
        next_step="run again; the training resumes from the checkpoint",
    )


def interrupted(pipeline: str) -> Interrupted:
    """The error of a training that was stopped, of which no rank has written one."""
    return Interrupted("training stopped", next_step=f"`modelyard run {pipeline}` resumes from the checkpoint")


def _signal(code: int) -> int:
    return -code if code < 0 else code - 128
