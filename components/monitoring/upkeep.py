"""The upkeep of a prediction log: seal the hours that are over, remove inputs whose time is over, push sealed hours."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from components.core import file_lock, priority
from components.core.errors import UsageError
from components.core.stage_process import run
from components.monitoring import log_store, sealing
from components.monitoring.upkeep_request import UpkeepRequest

NICENESS = 5


def main(arguments: list[str]) -> None:
    """Do one round of upkeep, at a low priority.

    Raises:
        UsageError: not called with one request.
        CorruptArtifactError: a sealed hour was changed.
    """
    if len(arguments) != 1:
        raise UsageError("one request is expected", got=arguments, expected="an UpkeepRequest as JSON")
    priority.lower(NICENESS)
    request = UpkeepRequest.model_validate_json(arguments[0])
    for text in keep_up(request):
        print(f"{request.model}: {text}", flush=True)


def keep_up(request: UpkeepRequest) -> list[str]:
    """Seal, remove and push what is due; returns what was done, in words.

    Raises:
        CorruptArtifactError: a sealed hour was changed.
    """
    done = []
    with file_lock.locked(lock_file(request.log), "another look at the prediction log"):
        sealed = sealing.seal_closed(request.log)
        if sealed:
            rows = sum(int(one.manifest.facts["predictions"]) for one in sealed)
            done.append(f"{rows:,} answers of {', '.join(one.name for one in sealed)} are sealed")
        if request.retention_days is not None:
            count = sealing.remove_inputs(request.log, time.time() - 86_400.0 * request.retention_days)
            if count:
                done.append(f"the inputs of {count} hours are removed, after {request.retention_days:g} days")
        if request.store is not None and (count := log_store.push(request.log, request.model, request.store)):
            done.append(f"{count} sealed hours are pushed to {request.store}")
    return done


def lock_file(log: Path) -> Path:
    """The lock file that every process holds while it changes a log."""
    return log / "sealing.lock"


if __name__ == "__main__":
    sys.exit(run("monitoring", "components.monitoring.upkeep:main"))
