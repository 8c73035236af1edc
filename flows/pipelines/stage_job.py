"""A stage on another machine: `python -m flows.pipelines.stage_job REQUEST.json WORKSPACE STORE`.

What a `StageRunner` for other machines starts there. The job brings the inputs from the store to their places in the
workspace, runs the stage as a local process, and puts what the stage left into the store. Standard output carries the
stage's events; its last line is the outcome: `{"result": ...}` or `{"error": ...}`. A workspace that is kept lets a
killed training go on from its checkpoint.
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
from flows.pipelines import stage_runner
from flows.pipelines.local_runner import LocalProcessRunner

RESULT, ERROR = "result", "error"


def main(arguments: list[str]) -> int:
    """Run the job; the exit code is that of the stage's error."""
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
    """Fetch, run, deliver.

    Raises:
        NotFoundError, CorruptArtifactError: an input is not in the store, or an output is not as sealed.
        ModelyardError: what the stage raised.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    for artifact in request.inputs:
        fetch(artifact, workspace, store)
    result = stage_runner.run(LocalProcessRunner(workspace), request, _print, _print_message)
    for artifact in result.artifacts:
        store.put(workspace / artifact.path, artifact.kind)
    return result


def fetch(artifact: PlacedArtifact, workspace: Path, store: ArtifactStore) -> None:
    """Bring an artifact to its place in a workspace, unless it is there already."""
    try:
        if manifests.load(workspace / artifact.path, artifact.kind).digest == artifact.digest:
            return
    except NotFoundError:
        pass
    store.get(artifact.digest, workspace / artifact.path)


def push(request: StageRequest, workspace: Path, store: ArtifactStore) -> None:
    """Put a request's inputs into the store, for a job elsewhere; those that are there already are not read."""
    for artifact in request.inputs:
        if not store.has(artifact.digest):
            store.put(workspace / artifact.path, artifact.kind)


def pull(result: StageResult, workspace: Path, store: ArtifactStore) -> StageResult:
    """Bring what a job left to its places in a project, verified."""
    for artifact in result.artifacts:
        store.get(artifact.digest, workspace / artifact.path)
    return result


def _print(line: str) -> None:
    print(line, flush=True)


def _print_message(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
