"""Runs the processes of one training on several nodes of a Slurm job and ends them together.

This process runs on the first node, in the job's batch step. It starts the ranks by one `srun`, which ends all of them
when one fails, and it has the store through which they find each other, on a port that the system chooses. Nothing is
restarted: the next job goes on from the checkpoint. gloo and NCCL talk over the cluster's network, without encryption.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # missing in torch's stub

from components.contracts.runner_spec import NODES_VARIABLE
from components.contracts.training_request import TrainRequest
from components.core import with_parent
from components.core.errors import ModelyardError, StageKilled, TrainingError, UsageError
from components.core.line_reader import LineReader
from components.training import memory_errors, rank_errors
from components.training.interruption import StopSignals
from components.training.messages import log
from components.training.rank_files import error_file, log_file
from components.training.slurm_rank_process import ADDRESSES, PORT
from components.training.srun_output import SrunOutput

PERIOD_SECONDS = 0.1
END_SECONDS = 30.0
COMMAND_SECONDS = 30.0
LAST_LINES = 100  # of the output of a rank that failed


def nodes() -> int:
    """The number of nodes that this job trains on; 1 outside such a job."""
    return int(os.environ.get(NODES_VARIABLE, "1"))


def launch(request: TrainRequest) -> None:
    """Train in `train.processes` processes, as many on each node; they write what `stage.train` writes.

    Raises:
        UsageError: the processes cannot be shared out evenly among the nodes.
        ModelyardError: the error of a rank.
        StageKilled: a rank was killed, or its node failed.
        TrainingError: as of `stage.train`; or Slurm killed a rank for lack of memory.
        Interrupted: Ctrl-C or SIGTERM; the checkpoint is written.
    """
    count, many = request.train.processes, nodes()
    if count % many:
        raise UsageError(
            "each node has as many processes", where="train.processes", got=count, expected=f"a multiple of {many}",
            next_step="correct train.processes, or nodes of `run:`",
        )  # fmt: skip
    folder = (Path(request.run_folder) / "ranks").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for rank in range(count):
        for earlier in (error_file(folder, rank), log_file(folder, rank)):
            earlier.unlink(missing_ok=True)
    request_file = folder / "request.json"
    request_file.write_text(request.model_dump_json())
    output = SrunOutput(log)
    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    with StopSignals() as interruption:
        code = _run(_command(request_file, count, many), store.port, output, interruption)
    if code != 0:
        raise _error(request, folder, output, code, is_interrupted=interruption.received())


def _command(request_file: Path, count: int, many: int) -> list[str]:
    return [
        "srun",
        # The job's environment without the default of sbatch, under which srun hands on nothing.
        "--export=ALL", "--input=none", "--mpi=none", "--job-name=training",
        f"--nodes={many}", f"--ntasks={count}", f"--ntasks-per-node={count // many}", "--distribution=block",
        # The ranks of a node share its processors and devices, as those of one machine do.
        "--overcommit", "--cpu-bind=none", "--gpu-bind=none",
        # One that fails ends all; the first one, which writes the result, has all the time that it needs for it.
        "--kill-on-bad-exit=1", "--wait=0",
        "--disable-status",  # SIGINT goes to the ranks at once
        sys.executable, "-u", "-m", "components.training.slurm_rank_process", str(request_file),
    ]  # fmt: skip


def _run(command: list[str], port: int, output: SrunOutput, interruption: StopSignals) -> int:
    """Run srun to its end; its exit code. A signal is forwarded once."""
    variables = {**os.environ, PORT: str(port), ADDRESSES: ",".join(_node_addresses())}
    if shutil.which(command[0]) is None:
        raise UsageError(
            "srun is not on this node", expected="the commands of Slurm", next_step="install them on every node"
        )
    # If this process is killed, ranks that wait for its store end too, and not when their patience does.
    process = subprocess.Popen(
        with_parent.command(command), env=variables, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    reader = LineReader(_lines(process.stderr), output.take)
    reader.start()
    is_forwarded = False
    try:
        while process.poll() is None:
            time.sleep(PERIOD_SECONDS)
            if interruption.received() and not is_forwarded:
                is_forwarded = True
                process.send_signal(interruption.number)
        return process.wait()
    finally:  # also after a second signal
        _end(process)
        reader.join()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()  # srun ends all ranks
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        process.kill()
        process.wait()


def _node_addresses() -> list[str]:
    """The addresses of the job's nodes in Slurm's configuration; none where Slurm does not say."""
    names = os.environ.get("SLURM_JOB_NODELIST", "")
    try:
        done = subprocess.run(
            ["scontrol", "--oneliner", "show", "node", names], capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"\bNodeAddr=(\S+)", done.stdout)


def _lines(stream: IO[str] | None) -> Iterator[str]:
    assert stream is not None  # noqa: S101  # a pipe
    for line in stream:
        yield line.rstrip("\n")


def _error(
    request: TrainRequest, folder: Path, output: SrunOutput, code: int, *, is_interrupted: bool
) -> ModelyardError:
    """The error of the rank that failed first, with its node; its output is shown if it left no error."""
    count = request.train.processes
    errors = rank_errors.written(folder, count)
    # srun ends the others after the first, so that only the first end says something.
    ends = [end for end in output.ends if end.rank not in errors][:1]
    if output.failed_nodes:
        return StageKilled(
            "a node of the training failed",
            where=f"node {', '.join(output.failed_nodes)}",
            next_step="run again; the training resumes from the checkpoint",
        )
    if not errors and not ends and not is_interrupted:
        if code < 0:
            return StageKilled(
                "srun, which runs the processes of the training, was killed",
                got=signal.Signals(-code).name,
                next_step="run again; the training resumes from the checkpoint",
            )
        got = output.last_error or f"srun: exit code {code}"
        return StageKilled("the processes of the training did not run", got=got, next_step="run again")
    error = rank_errors.first(errors, {end.rank: end.code for end in ends}, count, is_interrupted=is_interrupted)
    if isinstance(error, StageKilled) and is_interrupted:
        return rank_errors.interrupted(request.pipeline)
    if (named := re.match(r"process (\d+) of ", error.what)) is not None:
        _show(log_file(folder, int(named[1])))
        for end in (end for end in ends if end.rank == int(named[1])):
            error.where = f"node {end.node}"
            if end.is_out_of_memory:
                return _out_of_memory(request, error)
    return error


def _out_of_memory(request: TrainRequest, error: ModelyardError) -> ModelyardError:
    return TrainingError(
        memory_errors.OUT_OF_MEMORY,
        where=error.where,
        got=f"Slurm killed a process; {error.what}",
        next_step=f"{memory_errors.next_step(request.train)}; or raise memory_mb of `run:`",
    )


def _show(path: Path) -> None:
    with suppress(OSError):
        for line in path.read_text(errors="replace").splitlines()[-LAST_LINES:]:
            log(line)
