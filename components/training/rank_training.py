"""The training of one rank: joins the others, trains, and says whether it or another one failed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from components.contracts.training_request import TrainRequest
from components.core.errors import Interrupted, TrainingError, UsageError
from components.core.stage_process import die_with_parent
from components.training.allocator import keep_freed_memory
from components.training.ranks import PEER_LOST, Ranks, join
from components.training.sinks import EventStream, Fanout
from components.training.stage import train_rank

# Of gloo and NCCL, when the connection to a process that has ended breaks.
_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL", "Broken pipe")


def main(arguments: list[str]) -> None:
    """Train as one of the ranks of a request file.

    Raises:
        UsageError: the number of ranks is not that of the request.
        TrainingError: another rank has ended; or as of `stage.train`.
        Interrupted: only on the first rank; the others have nothing left to do.
    """
    die_with_parent()
    keep_freed_memory()
    request = TrainRequest.read(arguments)
    ranks = join()
    if ranks.size != request.train.processes:
        raise UsageError(
            "the number of processes is not that of the pipeline",
            where="train.processes",
            got=ranks.size,
            expected=request.train.processes,
        )
    try:
        _train(request, ranks)
    except Interrupted:
        if ranks.first:
            raise
    except RuntimeError as error:
        if not any(text in str(error) for text in _LOST):
            raise
        raise TrainingError(PEER_LOST, got=str(error).splitlines()[0]) from error


def _train(request: TrainRequest, ranks: Ranks) -> None:
    if ranks.first:
        train_rank(request, Fanout([EventStream(sys.stdout)]), ranks)
        return
    with Path(os.devnull).open("w") as nowhere:  # the messages of the first rank are enough
        before, sys.stderr = sys.stderr, nowhere
        try:
            train_rank(request, Fanout([]), ranks)
        finally:
            sys.stderr = before
