"""`python -m components.monitoring.live_stage REQUEST.json`: what the labels of a prediction log say until now."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from components.contracts.live_request import LiveRequest
from components.core import atomic
from components.core.stage_process import die_with_parent, run
from components.monitoring import live


def main(arguments: list[str]) -> None:
    """Write the result of a request.

    Raises:
        UsageError: not called with one readable request file.
        CorruptArtifactError: a sealed hour is damaged.
    """
    die_with_parent()
    request = LiveRequest.read(arguments)
    found = live.result(request, Path(request.log), time.time())
    target = Path(request.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(target, found.model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(run("monitoring", "components.monitoring.live_stage:main"))
