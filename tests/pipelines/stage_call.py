"""One stage on this machine, with a request that names no artifacts."""

from __future__ import annotations

from pathlib import Path

from components.contracts.stage_request import StageRequest
from components.core.log import Log
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner


def call(
    stage: str,
    workspace: Path,
    request_file: str,
    on_event: Log,
    on_log: Log = print,
    *,
    grace_seconds: float = stage_runner.GRACE_SECONDS,
) -> None:
    """Run `python -m components.<stage> REQUEST.json` in a workspace, to its end."""
    request = StageRequest(stage=stage, document="{}", request_file=request_file)
    stage_runner.run(LocalProcessRunner(workspace), request, on_event, on_log, grace_seconds)
