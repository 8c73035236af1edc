"""Runs stages as jobs of an engine, on a file system that its machines share with this one.

A stage has a folder, named after its request: `request.json`, the workspace, and the output of each job. So a job that
outlived its submitter is found again by the next run of the same stage, which follows it or takes its result;
and a job that was killed, or that ran into a time limit, goes on from the checkpoint in the workspace.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core import atomic, file_lock
from components.core.errors import ModelyardError, StackError
from components.core.line_reader import LineReader
from components.core.log import Log
from components.identity import digest, remote_artifact_store
from flows.runners import node_job, source_archive, stage_job
from flows.runners.job_engine import JobEngine, JobState
from flows.runners.stage_outcome import StageOutcome
from flows.runners.stage_runner import LineSink

POLL_SECONDS = 1.0
READ_SECONDS = 0.2
LATE_SECONDS = 15.0  # after which a line that a node has written is seen here, on a network file system
UNREACHABLE_SECONDS = 600.0  # that the engine may be silent while a job is followed
UNHEARD_SECONDS = 60.0  # from the outcome of a job until it counts as ended, whatever its engine says
SAVE_SECONDS = 60.0  # for a job to save its work
END_SECONDS = 90.0  # from the order to the end of a job
_JOB = "job"  # the file with the id of the last job
# Variables of this process that a job gets; no other leaves this machine, secrets least of all.
EXPORTED_VARIABLES = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "MODELYARD_MIRROR", "HF_HOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG",
)  # fmt: skip


class JobPlace(NamedTuple):
    """Where a project's jobs live.

    Args:
        workspace: the project's folder.
        store: the artifact store, a folder or a URL.
        jobs: the folder of one person's jobs and of their code.
        source_root: the folder that holds our rooms.
        modules: that the pipeline names.
    """

    workspace: Path
    store: str
    jobs: Path
    source_root: Path
    modules: Sequence[str]


class JobRunner:
    """A `StageRunner` that submits each stage as a job.

    Args:
        log: called with each message for the user.
    """

    def __init__(self, place: JobPlace, engine: JobEngine, log: Log) -> None:
        self._place, self._engine, self._log = place, engine, log
        self._store = remote_artifact_store.open_store(place.store)
        self._folders: dict[str, Path] = {}
        self._results: dict[str, StageResult] = {}

    def submit(self, request: StageRequest) -> StageHandle:
        """As `StageRunner.submit`; a job of this very request that waits, runs or was not collected is taken.

        Raises:
            StackError: the engine refuses the job, or does not answer.
        """
        stage_job.push(request, self._place.workspace, self._store)
        for discarded in request.discard:
            shutil.rmtree(self._place.workspace / discarded, ignore_errors=True)
        name = self._name(request)
        folder = self._place.jobs / name
        with file_lock.locked(self._place.jobs / "locks" / name, "another run that submits this stage", self._log):
            job = self._engine.find(name)
            if job is not None and not (folder / node_job.REQUEST).is_file():
                # An engine that was killed may take up a job again whose result was collected meanwhile.
                self._log(f"job {job} of {self._engine.label} has no folder any more: it is ended")
                self._engine.cancel(job)
                job = None
            earlier = f"of {self._engine.label}, which an earlier run submitted,"
            if job is not None:
                self._log(f"job {job} {earlier} does this: it is followed")
            elif not request.discard and (job := _finished(folder)) is not None:
                self._log(f"job {job} {earlier} has done this: its result is taken")
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
            state = self._wait(handle.id, failed, outcome)
            if failed.is_set():  # a sink raised: the job saves its work and ends
                self.cancel(handle, grace_seconds=SAVE_SECONDS)
            else:
                _wait_for(lambda: outcome.is_known or failed.is_set(), LATE_SECONDS)
        finally:
            ended.set()
            sink_failures = [reader.join() for reader in readers]
        for sink_failure in sink_failures:
            if sink_failure is not None:
                raise sink_failure
        if not outcome.is_known:
            raise self._engine.failure(handle.id, handle.stage, state, folder)
        self._results[handle.id] = outcome.result()

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """As `StageRunner.cancel`; a job that waits is taken out of the queue."""
        job, folder, outcome = handle.id, self._folders[handle.id], StageOutcome(lambda _: None)
        try:
            state = self._engine.state(job, folder)
            if state.runs and grace_seconds > 0:
                with suppress(StackError):  # it has ended meanwhile
                    self._engine.interrupt(job)
                _wait_for(lambda: not self._engine.state(job, folder).is_open, grace_seconds)
            self._end(job)
        except StackError as error:
            self._log(f"job {job} may go on: {error.what}; the next run follows it")
            return None
        outcome.read(folder / f"{job}.out")
        return outcome.error

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """As `StageRunner.collect`; then the job's folder is removed."""
        result = stage_job.pull(self._results.pop(handle.id), self._place.workspace, self._store)
        shutil.rmtree(self._folders.pop(handle.id), ignore_errors=True)
        return result

    def _name(self, request: StageRequest) -> str:
        """The name of a request's job: two projects with equal requests have a job each, as each removes its folder."""
        place = [str(self._place.jobs), str(self._place.workspace)]
        return f"modelyard-{digest.of_value([*place, request.model_dump(mode='json')])[:24]}"

    def _submit(self, request: StageRequest, folder: Path, name: str) -> str:
        if request.discard:
            shutil.rmtree(folder, ignore_errors=True)
        code = source_archive.ensure(self._place.jobs / "code", self._place.source_root, self._place.modules)
        # The job itself discards nothing: queued again, it goes on from what it left.
        atomic.write_text(folder / node_job.REQUEST, request.model_copy(update={"discard": ()}).model_dump_json())
        variables = {name: os.environ[name] for name in EXPORTED_VARIABLES if name in os.environ} | {
            "PYTHONPATH": str(code)
        }
        job = self._engine.submit(name, folder, variables, self._place.store)
        atomic.write_text(folder / _JOB, job)
        self._log(f"{request.stage} is job {job} of {self._engine.label}")
        return job

    def _wait(self, job: str, failed: threading.Event, outcome: StageOutcome) -> JobState:
        """Wait until a job has ended; says where it waits and where it runs.

        A job whose outcome has been read for some time has ended too, if its engine did not hear of it.
        """
        told, answered, label = "", time.monotonic(), self._engine.label
        known: float | None = None
        while True:
            try:
                state = self._engine.state(job, self._folders[job])
                answered = time.monotonic()
            except StackError as error:
                if time.monotonic() - answered > UNREACHABLE_SECONDS:
                    raise StackError(
                        f"{label} does not answer", where=f"job {job}", got=error.got or error.what,
                        next_step="run again when it does: the job is followed from there, or its result taken",
                    ) from error  # fmt: skip
            else:
                if state.waits:
                    outcome.forget_error()
                known = (known or time.monotonic()) if outcome.is_known else None
                if not state.is_open or (known is not None and time.monotonic() > known + UNHEARD_SECONDS):
                    return state
                if state.text != told:
                    told = state.text
                    self._log(f"job {job} of {label} {told}")
            if failed.wait(POLL_SECONDS):
                return JobState("CANCELLED", False, "was cancelled")

    def _end(self, job: str) -> None:
        folder = self._folders[job]
        if self._engine.state(job, folder).is_open:
            self._engine.cancel(job)
            _wait_for(lambda: not self._engine.state(job, folder).is_open, END_SECONDS)


def _finished(folder: Path) -> str | None:
    """The job whose result is in a folder; None if there is none."""
    try:
        job = (folder / _JOB).read_text().strip()
    except FileNotFoundError:
        return None
    outcome = StageOutcome(lambda _: None)
    outcome.read(folder / f"{job}.out")
    return job if outcome.is_known and outcome.error is None else None


def _lines(path: Path, ended: threading.Event) -> Iterator[str]:
    """The lines of a file that another machine writes, as they come; after the end, what is left of them."""
    rest, position = b"", 0  # bytes: a character may be half written
    while True:
        is_last = ended.is_set()
        try:
            with path.open("rb") as stream:
                stream.seek(position)
                content = stream.read()
        except FileNotFoundError:
            content = b""
        position += len(content)
        *lines, rest = (rest + content).split(b"\n")
        for line in [*lines, rest] if is_last and rest else lines:
            yield line.decode(errors="replace")
        if is_last:
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
