"""A `StageRunner` for tests: stages run in another folder, which shares only an `ArtifactStore` with the project.

While a stage runs, the project's own folder has another name: a process that opens a path of it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core.errors import ModelyardError, StageKilled
from components.core.line_reader import LineReader
from components.identity.artifact_store import LocalArtifactStore
from flows.runners import stage_job
from flows.runners.stage_runner import LineSink


class OtherMachineRunner:
    """Each stage gets a workspace of its own.

    Args:
        project: the folder that the other machine cannot read.
        machine: the other machine's folder.
        store: what both can reach.
    """

    def __init__(self, project: Path, machine: Path, store: Path) -> None:
        self._project, self._machine, self._store = project, machine, store
        self._away = project.with_name(f"{project.name}-unreachable")
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._results: dict[str, StageResult] = {}

    def submit(self, request: StageRequest) -> StageHandle:
        stage_job.push(request, self._project, LocalArtifactStore(self._store))
        workspace = self._machine / str(len(self._processes))
        workspace.mkdir(parents=True)
        (workspace / "job.json").write_text(request.model_dump_json())
        command = [sys.executable, "-m", "flows.runners.stage_job", "job.json", "workspace", str(self._store)]
        inherited = ("PATH", "PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY")
        environment = {name: os.environ[name] for name in inherited if name in os.environ}
        self._project.rename(self._away)
        process = subprocess.Popen(
            command, cwd=workspace, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        handle = StageHandle(stage=request.stage, id=str(workspace))
        self._processes[handle.id] = process
        return handle

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        process = self._processes[handle.id]
        last: list[str] = []

        def take(line: str) -> None:
            if line.startswith(('{"result"', '{"error"')):
                last.append(line)
            else:
                on_event(line.rstrip("\n"))

        assert process.stdout is not None
        assert process.stderr is not None
        readers = [LineReader(process.stdout, take), LineReader(process.stderr, lambda line: on_log(line.rstrip("\n")))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self._end(process)
        if not last:
            raise StageKilled(f"{handle.stage} was killed")
        outcome = json.loads(last[0])
        if "error" in outcome:
            raise ModelyardError.from_dict(outcome["error"])
        self._results[handle.id] = StageResult.model_validate_json(json.dumps(outcome["result"]))

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        process = self._processes[handle.id]
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        self._end(process)
        return None

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        return stage_job.pull(self._results[handle.id], self._project, LocalArtifactStore(self._store))

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if self._away.exists():
            self._away.rename(self._project)
