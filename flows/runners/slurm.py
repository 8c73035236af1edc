"""Slurm's own commands: submit a job, ask for its state, signal it, put it back into the queue."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from components.core.errors import StackError

COMMAND_SECONDS = 60.0
LOOK = "`sinfo` shows whether Slurm answers here; where there is no cluster, take `runner: slurm` out of `run:`"
_GONE = re.compile(r"Invalid job id", re.IGNORECASE)
# States of a job that Slurm still has to run, or runs; every other is an end.
_OPEN = frozenset(
    ["CONFIGURING", "COMPLETING", "PENDING", "PREEMPTED", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESIZING",
     "RUNNING", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED"]
)  # fmt: skip
GONE = "GONE"  # our word for a job that Slurm does not know any more


class SlurmState(NamedTuple):
    """The state of a job.

    Args:
        name: in Slurm's words, `PENDING`; or `GONE`.
        reason: why it waits or ended, as far as Slurm says it.
        node: where it runs; "" while it waits.
    """

    name: str
    reason: str
    node: str

    @property
    def is_open(self) -> bool:
        """Whether the job is still to run, or runs."""
        return self.name in _OPEN


def submit(script: str, options: Sequence[str]) -> str:
    """Submit a batch script; returns the job's id.

    Raises:
        StackError: Slurm refuses it, or does not answer.
    """
    return _ask(["sbatch", "--parsable", *options], script).partition(";")[0].strip()


def state(job: str) -> SlurmState:
    """The state of a job.

    Raises:
        StackError: Slurm does not answer.
    """
    try:
        found = _ask(["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%r|%N"]).strip()
    except StackError as error:
        if _GONE.search(error.got or ""):
            return SlurmState(GONE, "", "")
        raise
    if not found:
        return SlurmState(GONE, "", "")
    name, reason, node = [*found.splitlines()[0].split("|"), "", ""][:3]
    return SlurmState(name, reason, node)


def ended_by_signal(job: str) -> int | None:
    """The signal that ended the batch script of a job; None if none did, or Slurm does not know any more."""
    try:
        found = re.search(r"\bExitCode=\d+:(\d+)", _ask(["scontrol", "--oneliner", "show", "job", job]))
    except StackError:
        return None
    return int(found[1]) or None if found else None


def open_job(name: str) -> str | None:
    """The id of this user's job of a name that waits or runs; None if there is none.

    Raises:
        StackError: Slurm does not answer.
    """
    found = _ask(["squeue", "--noheader", "--me", f"--name={name}", "--format=%i|%T"]).split()
    return next((job for job, _, state in (line.partition("|") for line in found) if state in _OPEN), None)


def signal(job: str, name: str) -> None:
    """Send a signal to the batch script of a job that runs.

    Raises:
        StackError: Slurm does not answer, or the job does not run.
    """
    _ask(["scancel", "--batch", f"--signal={name}", job])


def cancel(job: str) -> None:
    """End a job, whether it waits or runs.

    Raises:
        StackError: Slurm does not answer.
    """
    _ask(["scancel", job])


def requeue(job: str) -> None:
    """Put a job that runs back into the queue; Slurm ends it.

    Raises:
        StackError: Slurm does not answer, or refuses.
    """
    _ask(["scontrol", "requeue", job])


def _ask(command: list[str], script: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    except FileNotFoundError as error:
        raise StackError(
            f"{command[0]} is not on this machine",
            expected="the commands of Slurm",
            next_step="run this where jobs are submitted, or take `runner: slurm` out of `run:`",
        ) from error
    except subprocess.TimeoutExpired as error:
        got = f"nothing in {COMMAND_SECONDS:g} s"
        raise StackError(f"{command[0]} does not answer", got=got, next_step=LOOK) from error
    if done.returncode != 0:
        got = (done.stderr or done.stdout).strip() or f"exit {done.returncode}"
        raise StackError(f"{command[0]} failed", got=got, next_step=LOOK)
    return done.stdout
