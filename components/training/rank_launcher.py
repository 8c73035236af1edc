"""Runs the processes of one training on this machine and ends them together.

The processes are started and watched by torchrun's own `start_processes`, without its rendezvous: the ranks find each
other through a file in a private folder instead of a server, which would listen on every interface and exchange pickles
with whoever connects; gloo and NCCL use the loopback interface. A rank that ends with an error ends all; nothing is
restarted, for the next run goes on from the checkpoint.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, PContext, SignalException, start_processes
from torch.distributed.elastic.multiprocessing.api import RunProcsResult

from components.contracts.training_request import TrainRequest
from components.core import kernel_kills
from components.core.errors import Interrupted, ModelyardError, StageKilled, TrainingError
from components.core.stage_process import ERROR_FILE
from components.training import memory_errors, rank_errors
from components.training.interruption import StopSignals
from components.training.rank_files import error_file
from components.training.ranks import STORE, check_devices

PERIOD_SECONDS = 0.1
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def launch(request: TrainRequest) -> None:
    """Train in `train.processes` processes; they write what `stage.train` writes.

    Raises:
        ModelyardError: the error of a rank.
        StageKilled: a rank was killed.
        TrainingError: as of `stage.train`; or the kernel killed a rank for lack of memory.
        Interrupted: Ctrl-C or SIGTERM; the checkpoint is written.
    """
    count = request.train.processes
    check_devices(count)
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)  # we report
    kills = kernel_kills.count()
    with tempfile.TemporaryDirectory(prefix="modelyard-ranks-") as name:
        folder = Path(name)
        context = _start(request, folder)
        with StopSignals() as interruption:  # in place of the handlers that the start has set
            try:
                result = _wait(context, interruption)
            finally:
                context.close()  # also after a second signal
        if not result.is_failed():
            return
        error = _error(result, folder, count, is_interrupted=interruption.received())
    if interruption.received() and isinstance(error, StageKilled):
        raise rank_errors.interrupted(request.pipeline)
    if isinstance(error, StageKilled) and error.got == "SIGKILL" and kernel_kills.have_grown(kills):
        raise TrainingError(
            memory_errors.OUT_OF_MEMORY,
            where="CPU",
            got=f"Linux killed a process; {error.what}",
            next_step=memory_errors.next_step(request.train),
        ) from error
    raise error


def _start(request: TrainRequest, folder: Path) -> PContext:
    count = request.train.processes
    request_file = folder / "request.json"
    request_file.write_text(request.model_dump_json())
    try:
        return start_processes(
            "training",
            sys.executable,
            {rank: ("-m", "components.training.rank_process", str(request_file)) for rank in range(count)},
            {rank: _environment(folder, rank, count) for rank in range(count)},
            DefaultLogsSpecs(log_dir=str(folder / "logs")),
        )
    except SignalException as error:
        raise Interrupted("training stopped", where="before its first step") from error


def _environment(folder: Path, rank: int, count: int) -> dict[str, str]:
    """The variables of a rank: those that torchrun sets, where the ranks meet, and where an error goes."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        STORE: str(folder / "store"),
        ERROR_FILE: str(error_file(folder, rank)),
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
        # DDP warns in C++ where every weight is used, since it looks for unused ones.
        "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
    }


def _wait(context: PContext, interruption: StopSignals) -> RunProcsResult:
    """Wait for all ranks, or for the first that fails, which ends the others; forward a signal once."""
    is_forwarded = False
    while True:
        result = context.wait(timeout=PERIOD_SECONDS, period=PERIOD_SECONDS / 2)
        if result is not None:
            return result
        if interruption.received() and not is_forwarded:
            is_forwarded = True
            for process in context.pids().values():
                try:
                    os.kill(process, signal.SIGINT)
                except ProcessLookupError:
                    continue


def _error(result: RunProcsResult, folder: Path, count: int, *, is_interrupted: bool) -> ModelyardError:
    codes = {rank: failure.exitcode for rank, failure in sorted(result.failures.items())}
    errors = {rank: error for rank, error in rank_errors.written(folder, count).items() if rank in codes}
    return rank_errors.first(errors, codes, count, is_interrupted=is_interrupted)
