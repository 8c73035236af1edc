"""What an engine of jobs does for `JobRunner`: Slurm, or a work pool of Prefect."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

from components.core.errors import ModelyardError


class JobState(NamedTuple):
    """The state of a job.

    Args:
        name: in the engine's words.
        is_open: whether the job is still to run, or runs.
        text: what a person reads of it, as in "waits in the queue (Resources)".
        runs: whether it runs now.
        waits: whether it is in the queue, so that an error in its output is of an earlier attempt.
    """

    name: str
    is_open: bool
    text: str
    runs: bool = False
    waits: bool = False


class JobEngine(Protocol):
    """Runs `flows.runners.node_job` on other machines, which see the jobs' folder under its path here.

    A job appends its output to `JOB.out` and `JOB.err` in its folder. All methods raise `StackError` where the engine
    refuses, or does not answer.
    """

    @property
    def label(self) -> str:
        """The engine in sentences, as in "Slurm"."""
        ...

    def find(self, name: str) -> str | None:
        """The id of the job of a name that is still to run, or runs; None if there is none."""
        ...

    def submit(self, name: str, folder: Path, variables: dict[str, str], store: str) -> str:
        """Submit a job; returns its id.

        Args:
            folder: of the job.
            variables: of its environment, PYTHONPATH among them.
            store: the artifact store, a folder or a URL.
        """
        ...

    def state(self, job: str, folder: Path) -> JobState:
        """The state of a job."""
        ...

    def interrupt(self, job: str) -> None:
        """Ask a job that runs to save its work and end."""
        ...

    def cancel(self, job: str) -> None:
        """End a job, whether it waits or runs."""
        ...

    def failure(self, job: str, stage: str, state: JobState, folder: Path) -> ModelyardError:
        """Why a job ended without an outcome of its own."""
        ...
