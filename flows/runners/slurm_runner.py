"""Runs stages as jobs of Slurm, on a file system that the nodes share with this machine.

A stage has a folder, named after its request: `request.json`, the workspace, and the output of each job. So a job that
outlived whoever submitted it is found again by the next run of the same stage, which follows it or takes its result;
and a job that was killed, or that ran into its time limit, goes on from the checkpoint in the workspace.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from components.contracts.runner_spec import SlurmSpec
from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core import atomic, file_lock
from components.core.errors import ModelyardError, StackError, StageKilled
from components.core.line_reader import LineReader
from components.core.log import Log
from components.identity import digest
from components.identity.artifact_store import LocalArtifactStore
from flows.runners import slurm, slurm_job, source_archive, stage_job
from flows.runners.slurm import JobState
from flows.runners.stage_outcome import StageOutcome
from flows.runners.stage_runner import LineSink

POLL_SECONDS = 1.0
READ_SECONDS = 0.2
LATE_SECONDS = 15.0  # after which a line that a node has written is seen here, on a network file system
UNREACHABLE_SECONDS = 600.0  # that Slurm may be silent while a job is followed
END_SECONDS = 90.0  # from `scancel` to the end of a job; Slurm's own KillWait is 30 s
LEAD_SECONDS = 60  # before the time limit, in which a training saves its checkpoint
_JOB = "job"  # the file with the id of the last job
# Variables of this process that a job gets; no other leaves this machine, secrets least of all.
HANDED_ON = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "MODELYARD_MIRROR", "HF_HOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG",
)  # fmt: skip


class SlurmPlace(NamedTuple):
    """Where a project's jobs live.

    Args:
        workspace: the project's folder.
        store: the folder of the artifact store.
        jobs: the folder of jobs and of their code.
        source_root: the folder that holds our rooms.
        modules: that the pipeline names.
    """

    workspace: Path
    store: Path
    jobs: Path
    source_root: Path
    modules: Sequence[str]


class SlurmRunner:
    """A `StageRunner` that submits each stage with `sbatch`.

    Args:
        log: called with each message for the user.
    """

    def __init__(self, place: SlurmPlace, spec: SlurmSpec, log: Log) -> None:
        self._place, self._spec, self._log = place, spec, log
        self._store = LocalArtifactStore(place.store)
        self._folders: dict[str, Path] = {}
        self._results: dict[str, StageResult] = {}

    def submit(self, request: StageRequest) -> StageHandle:
        """As `StageRunner.submit`; a job of this very request that waits, runs or was not collected is taken.

        Raises:
            StackError: Slurm refuses the job, or does not answer.
        """
        stage_job.push(request, self._place.workspace, self._store)
        for discarded in request.discard:
            shutil.rmtree(self._place.workspace / discarded, ignore_errors=True)
        name = f"modelyard-{digest.of_value(request.model_dump(mode='json'))[:24]}"
        folder = self._place.jobs / name
        with file_lock.locked(self._place.jobs / f".{name}.lock", "another run that submits this stage", self._log):
            job = slurm.open_job(name)
            if job is not None:
                self._log(f"job {job} of Slurm, which an earlier run submitted, does this: it is followed")
            elif not request.discard and (job := _finished(folder)) is not None:
                self._log(f"job {job} of Slurm, which an earlier run submitted, has done this: its result is taken")
            else:
                job = self._submit(request, folder, name)
        self._folders[job] = folder
        return StageHandle(stage=request.stage, id=job)

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        """As `StageRunner.follow`."""
        folder, ended, failed = self._folders[handle.id], threading.Event(), threading.Event()
        outcome = StageOutcome(on_event)
        readers = [
            LineReader(_lines(folder / f"{handle.id}{suffix}", ended), sink, on_failure=failed.set)
            for suffix, sink in ((".out", outcome.take), (".err", on_log))
        ]
        for reader in readers:
            reader.start()
        try:
            state = self._wait(handle.id, failed)
        finally:
            if failed.is_set():
                self._end(handle.id)
            _wait_for(lambda: outcome.is_known or failed.is_set(), LATE_SECONDS if not failed.is_set() else 0)
            ended.set()
            sink_failures = [reader.join() for reader in readers]
        for sink_failure in sink_failures:
            if sink_failure is not None:
                raise sink_failure
        if not outcome.is_known:
            raise _without_outcome(handle, state, folder)
        self._results[handle.id] = outcome.result()

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """As `StageRunner.cancel`; a job that waits is taken out of the queue."""
        job, outcome = handle.id, StageOutcome(lambda _: None)
        try:
            state = slurm.state(job)
            if state.name == "RUNNING" and grace_seconds > 0:
                with suppress(StackError):  # it has ended meanwhile
                    slurm.signal(job, "INT")
                _wait_for(lambda: not slurm.state(job).is_open, grace_seconds)
            self._end(job)
        except StackError as error:
            self._log(f"job {job} may go on: {error.what}; the next run follows it")
            return None
        outcome.read(self._folders[job] / f"{job}.out")
        return outcome.error

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """As `StageRunner.collect`; then the job's folder is removed."""
        result = stage_job.pull(self._results.pop(handle.id), self._place.workspace, self._store)
        shutil.rmtree(self._folders.pop(handle.id), ignore_errors=True)
        return result

    def _submit(self, request: StageRequest, folder: Path, name: str) -> str:
        if request.discard:
            shutil.rmtree(folder, ignore_errors=True)
        code = source_archive.ensure(self._place.jobs / "code", self._place.source_root, self._place.modules)
        # The job itself discards nothing: queued again, it goes on from what it left.
        atomic.write_text(folder / slurm_job.REQUEST, request.model_copy(update={"discard": ()}).model_dump_json())
        job = slurm.submit(self._script(folder, code), self._options(folder, name))
        atomic.write_text(folder / _JOB, job)
        self._log(f"{request.stage} is job {job} of Slurm")
        return job

    def _script(self, folder: Path, code: Path) -> str:
        variables = {name: os.environ[name] for name in HANDED_ON if name in os.environ} | {"PYTHONPATH": str(code)}
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        python = self._spec.python or sys.executable
        command = [python, "-u", "-m", "flows.runners.slurm_job", str(folder), str(self._place.store)]
        return "\n".join(["#!/bin/sh", *exports, f"exec {shlex.join(command)}", ""])

    def _options(self, folder: Path, name: str) -> list[str]:
        spec = self._spec
        asked = {
            "partition": spec.partition, "cpus-per-task": spec.cpus, "mem": spec.memory_mb and f"{spec.memory_mb}M",
            "gpus": spec.gpus or None, "time": spec.minutes,
        }  # fmt: skip
        return [
            f"--job-name={name}", f"--chdir={folder}", f"--output={folder}/%j.out", f"--error={folder}/%j.err",
            "--open-mode=append", "--requeue", "--export=NIL", "--dependency=singleton",
            *([f"--signal=B:USR1@{LEAD_SECONDS}"] if spec.minutes else []),
            *(f"--{option}={value}" for option, value in asked.items() if value is not None), *spec.options,
        ]  # fmt: skip

    def _wait(self, job: str, failed: threading.Event) -> JobState:
        """Wait until a job has ended; says where it waits and where it runs."""
        told, answered = "", time.monotonic()
        while True:
            try:
                state = slurm.state(job)
                answered = time.monotonic()
            except StackError as error:
                if time.monotonic() - answered > UNREACHABLE_SECONDS:
                    raise StackError(
                        "Slurm does not answer", where=f"job {job}", got=error.got or error.what,
                        next_step="run again when it does: the job is followed from there, or its result taken",
                    ) from error  # fmt: skip
            else:
                if not state.is_open:
                    return state
                if (text := _told(job, state)) != told:
                    told = text
                    self._log(text)
            if failed.wait(POLL_SECONDS):
                return JobState("CANCELLED", "", "")

    def _end(self, job: str) -> None:
        if slurm.state(job).is_open:
            slurm.cancel(job)
            _wait_for(lambda: not slurm.state(job).is_open, END_SECONDS)


def _finished(folder: Path) -> str | None:
    """The job whose result is in a folder; None if there is none."""
    try:
        job = (folder / _JOB).read_text().strip()
    except FileNotFoundError:
        return None
    outcome = StageOutcome(lambda _: None)
    outcome.read(folder / f"{job}.out")
    return job if outcome.is_known and outcome.error is None else None


def _told(job: str, state: JobState) -> str:
    if state.name == "RUNNING":
        return f"job {job} of Slurm runs on {state.node}"
    reason = f" ({state.reason})" if state.reason not in ("", "None") else ""
    word = "waits in the queue" if state.name == "PENDING" else f"is {state.name.lower()}"
    return f"job {job} of Slurm {word}{reason}"


def _without_outcome(handle: StageHandle, state: JobState, folder: Path) -> ModelyardError:
    """Why a job ended without a word of its own."""
    where, kept = f"job {handle.id} of Slurm", "run again: it goes on from its checkpoint"
    if state.name.startswith("CANCELLED"):
        return ModelyardError(f"{handle.stage} was cancelled in Slurm", where=where, next_step=kept)
    if state.name == "OUT_OF_MEMORY":
        more = "raise memory_mb of `run:`, or set a smaller train.batch_size"
        return ModelyardError(f"{handle.stage} ran out of its memory", where=where, got=state.name, next_step=more)
    number = slurm.ended_by_signal(handle.id) if state.name == "FAILED" else None
    if state.name in ("FAILED", "DEADLINE") and not number:
        try:
            last = (folder / f"{handle.id}.err").read_text(errors="replace").strip().splitlines()[-1:]
        except OSError:
            last = []
        got = "; ".join([state.name, *last])
        asked = "is `python` of `run:` an interpreter with Modelyard's requirements there?"
        return ModelyardError(f"{handle.stage} failed on a node of Slurm", where=where, got=got, next_step=asked)
    return StageKilled(
        f"{handle.stage} was killed", where=where, got=f"signal {number}" if number else state.name, next_step=kept
    )


def _lines(path: Path, ended: threading.Event) -> Iterator[str]:
    """The lines of a file that another machine writes, as they come; after the end, what is left of them."""
    rest, position = "", 0
    while True:
        is_last = ended.is_set()
        try:
            with path.open(encoding="utf-8", errors="replace", newline="") as stream:
                stream.seek(position)
                rest += stream.read()
                position = stream.tell()
        except FileNotFoundError:
            pass
        *lines, rest = rest.split("\n")
        yield from lines
        if is_last:
            if rest:
                yield rest
            return
        ended.wait(READ_SECONDS)


def _wait_for(done: Callable[[], bool], seconds: float) -> bool:
    """Ask until it is so, for so long."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= end:
            return False
        time.sleep(min(POLL_SECONDS, READ_SECONDS))
    return True
