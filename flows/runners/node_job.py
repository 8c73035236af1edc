"""The job of a stage on another machine that sees the jobs' folder: `python -m flows.runners.node_job FOLDER STORE`.

`FOLDER` has `request.json` and the stage's workspace, which outlives the job: a training that is queued again goes on
from its checkpoint. Standard output and the last line are as of `stage_job`. In a job of Slurm, SIGUSR1 says that the
time limit is near: the stage is interrupted, which saves a checkpoint, and the job goes back into the queue without an
outcome.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from components.contracts.stage_request import StageRequest
from components.core import disk_space
from components.core.errors import Interrupted, ModelyardError, UsageError
from components.core.stage_process import die_with_parent
from components.identity import manifest as manifests
from components.identity import remote_artifact_store
from flows.runners import slurm, stage_job

REQUEST, WORKSPACE = "request.json", "workspace"


class _TimeLimit:
    """Whether the time limit was announced; then the stage is interrupted as by Ctrl-C."""

    def __init__(self) -> None:
        self.is_near = False
        signal.signal(signal.SIGUSR1, self._receive)

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self.is_near = True
        raise KeyboardInterrupt


def main(arguments: list[str]) -> int:
    """Run the job; returns the exit code: 0, or that of the stage's error."""
    with_parent = arguments[2:] == ["--with-parent"]
    if len(arguments) != 2 + with_parent:
        raise UsageError("a job's folder and a store are expected", got=" ".join(arguments) or "nothing")
    if with_parent:
        die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    limit = _TimeLimit()
    folder = Path(arguments[0])
    try:
        store = remote_artifact_store.open_store(arguments[1])
        manifests.verify(Path(__file__).resolve().parents[2], "source", frozenset({"__pycache__"}))
        request = StageRequest.model_validate_json((folder / REQUEST).read_bytes())
        with disk_space.reported(folder):
            result = stage_job.run(request, folder / WORKSPACE, store)
    except (ModelyardError, KeyboardInterrupt) as error:
        if limit.is_near and isinstance(error, Interrupted | KeyboardInterrupt):
            _say("the time limit is near: the job goes back into the queue, and on from its checkpoint")
            slurm.requeue(os.environ["SLURM_JOB_ID"])
            signal.pause()  # Slurm ends this process
        failure = error if isinstance(error, ModelyardError) else Interrupted("stopped")
        print(json.dumps({stage_job.ERROR: failure.to_dict()}), flush=True)
        return failure.exit_code
    print(json.dumps({stage_job.RESULT: result.model_dump(mode="json")}), flush=True)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
