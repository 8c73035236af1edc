"""Runs stages as processes of this machine, with the project's folder as their workspace; no files are copied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from components.contracts.stage_request import PlacedArtifact, StageHandle, StageOutput, StageRequest, StageResult
from components.core import disk_space, kernel_kills, priority
from components.core.errors import CorruptArtifactError, ModelyardError, StageKilled
from components.core.line_reader import LineReader
from components.core.stage_process import ERROR_FILE, KILL_SIGNAL, failure
from components.identity import manifest as manifests
from flows.runners.stage_runner import LineSink

KILL_SECONDS = 0.5  # time for a prewarmed host to kill the stage it runs, before the stage's own process is killed


@dataclass
class _Running:
    process: subprocess.Popen[str]
    folder: Path
    outputs: tuple[StageOutput, ...]
    kernel_kills: int | None  # when the stage started
    readers: tuple[LineReader, ...] = ()

    @property
    def error_file(self) -> Path:
        return self.folder / "error.json"


class LocalProcessRunner:
    """A `StageRunner` that runs each stage as a child process; the child ends when this process ends.

    Args:
        workspace: the project's folder; the working directory of the stages.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace.absolute()
        self._running: dict[str, _Running] = {}

    def submit(self, request: StageRequest) -> StageHandle:
        """As `StageRunner.submit`."""
        for discarded in request.discard:
            shutil.rmtree(self._workspace / discarded, ignore_errors=True)
        for artifact in request.inputs:
            if artifact.kind != "report":  # which has no seal
                _check_input(self._workspace, artifact)
        request_file = self._workspace / request.request_file
        kills = kernel_kills.count()
        with disk_space.reported(request_file):
            folder = Path(tempfile.mkdtemp(prefix="modelyard-stage-"))
            try:
                request_file.parent.mkdir(parents=True, exist_ok=True)
                request_file.write_text(request.document)
                process = subprocess.Popen(
                    [sys.executable, "-m", f"components.{request.stage}", str(request_file)],
                    cwd=self._workspace,
                    env={**os.environ, ERROR_FILE: str(folder / "error.json"), "PYTHONUNBUFFERED": "1"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",  # what a library prints is not always UTF-8
                    # Only this process receives the terminal's Ctrl-C; it forwards the signal once.
                    start_new_session=True,
                )
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        priority.follow(process.pid)
        handle = StageHandle(stage=request.stage, id=str(process.pid))
        self._running[handle.id] = _Running(process, folder, request.outputs, kills)
        return handle

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        """As `StageRunner.follow`."""
        running = self._running[handle.id]
        process = running.process
        running.readers = tuple(
            LineReader(_lines(stream), sink, on_failure=process.terminate)
            for stream, sink in ((process.stdout, on_event), (process.stderr, on_log))
        )
        for reader in running.readers:
            reader.start()
        sink_failures = [reader.join() for reader in running.readers]
        stage_error = _error(handle.stage, process.wait(), running)
        self._forget(handle)
        for sink_failure in sink_failures:
            if sink_failure is not None:
                raise sink_failure
        if stage_error:
            raise stage_error

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """As `StageRunner.cancel`."""
        running = self._running.get(handle.id)
        if running is None:
            return None
        code = _stop(running.process, grace_seconds)
        for reader in running.readers:
            reader.join()
        stage_error = failure(code, running.error_file)
        self._forget(handle)
        return stage_error

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """As `StageRunner.collect`; the outputs are already in the workspace."""
        return StageResult(artifacts=tuple(artifacts_of(self._workspace, request.outputs)))

    def _forget(self, handle: StageHandle) -> None:
        running = self._running.pop(handle.id)
        for stream in (running.process.stdout, running.process.stderr):
            if stream is not None:
                stream.close()
        shutil.rmtree(running.folder, ignore_errors=True)


def artifacts_of(workspace: Path, outputs: tuple[StageOutput, ...]) -> Iterator[PlacedArtifact]:
    """The artifacts that a stage wrote into a workspace, with their digests; a missing report is skipped.

    Raises:
        NotFoundError, CorruptArtifactError: a sealed output is missing, or its manifest was changed.
    """
    for output in outputs:
        folder = workspace / output.path
        if output.kind == "report":
            if not folder.is_dir():
                continue
            sealed = manifests.describe(folder, output.kind, {})
        else:
            sealed = manifests.load(folder, output.kind)
        yield PlacedArtifact(kind=output.kind, digest=sealed.digest, path=output.path)


def _check_input(workspace: Path, artifact: PlacedArtifact) -> None:
    """Compare the digest in an input's manifest with the request; the stage itself verifies every byte.

    Raises:
        NotFoundError, CorruptArtifactError: the input is missing, or is another artifact.
    """
    sealed = manifests.load(workspace / artifact.path, artifact.kind)
    if sealed.digest != artifact.digest:
        raise CorruptArtifactError(
            f"the {artifact.kind} artifact is not the one that the request names",
            where=str(workspace / artifact.path),
            got=sealed.digest,
            expected=artifact.digest,
            next_step="run the pipeline again",
        )


def _error(stage: str, code: int, running: _Running) -> ModelyardError | None:
    if code == 0:
        return None
    if stage_error := failure(code, running.error_file):
        return stage_error
    killed = -code if code < 0 else code - 128
    if killed == signal.SIGKILL and kernel_kills.have_grown(running.kernel_kills):
        smaller = "set a smaller train.batch_size, or train.accumulation_steps to compute each batch in parts, or "
        return ModelyardError(
            f"{stage} was killed: the machine is out of memory",
            got="SIGKILL, by Linux",
            next_step=f"{smaller if stage == 'training' else ''}end other programs, then run again",
        )
    if killed in (signal.SIGKILL, KILL_SIGNAL, signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT):
        return StageKilled(
            f"{stage} was killed", got=signal.Signals(killed).name, next_step="run again; completed work is kept"
        )
    return ModelyardError(f"{stage} failed", got=f"exit code {code}", next_step="read the stage's output above")


def _lines(stream: IO[str] | None) -> Iterator[str]:
    assert stream is not None  # noqa: S101  # both are pipes
    for line in stream:
        yield line.rstrip("\n")


def _stop(process: subprocess.Popen[str], grace_seconds: float) -> int:
    """Send SIGINT to a stage; after `grace_seconds` kill its process group, or the stage in its prewarmed host."""
    for number, seconds in ((signal.SIGINT, grace_seconds), (KILL_SIGNAL, KILL_SECONDS)):
        if seconds <= 0:
            continue
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=seconds)
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
