"""Jobs of Slurm, by its own commands."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from components.contracts.runner_spec import NODES_VARIABLE, SlurmSpec
from components.core.errors import ModelyardError, StageKilled
from flows.runners import slurm
from flows.runners.job_engine import JobState

LEAD_SECONDS = 60  # before the time limit, in which a training saves its checkpoint


class SlurmEngine:
    """A `JobEngine`."""

    label = "Slurm"

    def __init__(self, spec: SlurmSpec) -> None:
        self._spec = spec

    def find(self, name: str) -> str | None:
        """As `JobEngine.find`."""
        return slurm.open_job(name)

    def submit(self, name: str, folder: Path, variables: dict[str, str], store: str) -> str:
        """As `JobEngine.submit`."""
        if self._spec.nodes > 1:
            variables = {**variables, NODES_VARIABLE: str(self._spec.nodes)}
        exports = [f"export {key}={shlex.quote(value)}" for key, value in variables.items()]
        command = [self._spec.python or sys.executable, "-u", "-m", "flows.runners.node_job", str(folder), str(store)]
        script = "\n".join(["#!/bin/sh", *exports, f"exec {shlex.join(command)}", ""])
        return slurm.submit(script, self._options(folder, name))

    def state(self, job: str, folder: Path) -> JobState:
        """As `JobEngine.state`."""
        found = slurm.state(job)
        reason = f" ({found.reason})" if found.reason not in ("", "None") else ""
        if (
            "held" in found.reason.lower()
        ):  # by Slurm after a failure of a node, or by a person: it does not go on itself
            reason += f"; `scontrol release {job}` lets it go"
        word = "waits in the queue" if found.name == "PENDING" else f"is {found.name.lower()}"
        runs = found.name == "RUNNING"
        text = f"runs on {found.node}" if runs else word + reason
        return JobState(found.name, found.is_open, text, runs, waits=found.name == "PENDING")

    def interrupt(self, job: str) -> None:
        """As `JobEngine.interrupt`."""
        slurm.signal(job, "INT")

    def cancel(self, job: str) -> None:
        """As `JobEngine.cancel`."""
        slurm.cancel(job)

    def failure(self, job: str, stage: str, state: JobState, folder: Path) -> ModelyardError:
        """As `JobEngine.failure`."""
        where, kept = f"job {job} of Slurm", "run again: it goes on from its checkpoint"
        if state.name.startswith("CANCELLED"):
            return ModelyardError(f"{stage} was cancelled in Slurm", where=where, next_step=kept)
        if state.name == "OUT_OF_MEMORY":
            more = "raise memory_mb of `run:`, or set a smaller train.batch_size"
            return ModelyardError(f"{stage} ran out of its memory", where=where, got=state.name, next_step=more)
        number = slurm.ended_by_signal(job) if state.name == "FAILED" else None
        if state.name in ("FAILED", "DEADLINE") and not number:
            try:
                last = (folder / f"{job}.err").read_text(errors="replace").strip().splitlines()[-1:]
            except OSError:
                last = []
            got = "; ".join([state.name, *last])
            asked = "is `python` of `run:` an interpreter with Modelyard's requirements there?"
            return ModelyardError(f"{stage} failed on a node of Slurm", where=where, got=got, next_step=asked)
        got = f"signal {number}" if number else state.name
        return StageKilled(f"{stage} was killed", where=where, got=got, next_step=kept)

    def _options(self, folder: Path, name: str) -> list[str]:
        spec, several = self._spec, self._spec.nodes > 1
        asked = {
            "partition": spec.partition, "cpus-per-task": spec.cpus, "mem": spec.memory_mb and f"{spec.memory_mb}M",
            "gpus-per-node" if several else "gpus": spec.gpus or None, "time": spec.minutes,
        }  # fmt: skip
        return [
            f"--job-name={name}", f"--chdir={folder}", f"--output={folder}/%j.out", f"--error={folder}/%j.err",
            "--open-mode=append", "--requeue", "--export=NIL", "--dependency=singleton",
            *([f"--nodes={spec.nodes}", "--ntasks-per-node=1"] if several else []),
            *([f"--signal=B:USR1@{LEAD_SECONDS}"] if spec.minutes else []),
            *(f"--{option}={value}" for option, value in asked.items() if value is not None), *spec.options,
        ]  # fmt: skip
