"""Runs a stage on another machine: `python -m flows.runners.stage_job REQUEST.json WORKSPACE STORE`.

A `StageRunner` for other machines starts this job there. The job copies the inputs from the store into the workspace,
runs the stage as a local process, and puts the stage's outputs into the store. Standard output carries the stage's
events; the last line is the outcome: `{"result": ...}` or `{"error": ...}`. If the workspace is kept, a killed training
resumes from its checkpoint.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from components.contracts.stage_request import PlacedArtifact, StageRequest, StageResult
from components.core.errors import Interrupted, ModelyardError, NotFoundError, UsageError
from components.core.stage_process import die_with_parent
from components.identity import manifest as manifests
from components.identity.artifact_store import ArtifactStore, LocalArtifactStore
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner

RESULT, ERROR = "result", "error"


def main(arguments: list[str]) -> int:
    """Run the job; returns the exit code: 0, or that of the stage's error."""
    die_with_parent()
    if len(arguments) != 3:
        raise UsageError("a request file, a workspace and a store are expected", got=" ".join(arguments) or "nothing")
    request = StageRequest.model_validate_json(Path(arguments[0]).read_bytes())
    try:
        result = run(request, Path(arguments[1]), LocalArtifactStore(Path(arguments[2])))
    except (ModelyardError, KeyboardInterrupt) as error:
        failure = error if isinstance(error, ModelyardError) else Interrupted("stopped")
        _print(json.dumps({ERROR: failure.to_dict()}))
        return failure.exit_code
    _print(json.dumps({RESULT: result.model_dump(mode="json")}))
    return 0


def run(request: StageRequest, workspace: Path, store: ArtifactStore) -> StageResult:
    """Fetch the inputs, run the stage, store the outputs.

    Raises:
        NotFoundError, CorruptArtifactError: an input is not in the store, or an output differs from its manifest.
        ModelyardError: the stage's error.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    for artifact in request.inputs:
        fetch(artifact, workspace, store)
    result = stage_runner.run(LocalProcessRunner(workspace), request, _print, _print_message)
    for artifact in result.artifacts:
        store.put(workspace / artifact.path, artifact.kind)
    return result


def fetch(artifact: PlacedArtifact, workspace: Path, store: ArtifactStore) -> None:
    """Copy an artifact from the store into a workspace, unless it is there; checkpoints there are later ones."""
    if artifact.kind == "report":
        if not (workspace / artifact.path).is_dir():
            store.get(artifact.digest, workspace / artifact.path)
        return
    try:
        if manifests.load(workspace / artifact.path, artifact.kind).digest == artifact.digest:
            return
    except NotFoundError:
        pass
    store.get(artifact.digest, workspace / artifact.path)


def push(request: StageRequest, workspace: Path, store: ArtifactStore) -> None:
    """Put a request's inputs into the store, for a job on another machine; inputs that the store has are skipped."""
    for artifact in request.inputs:
        if not store.has(artifact.digest):
            store.put(workspace / artifact.path, artifact.kind)


def pull(result: StageResult, workspace: Path, store: ArtifactStore) -> StageResult:
    """Copy a job's outputs from the store into a project; `ArtifactStore.get` verifies them."""
    for artifact in result.artifacts:
        store.get(artifact.digest, workspace / artifact.path)
    return result


def _print(line: str) -> None:
    print(line, flush=True)


def _print_message(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
