"""The request of the upkeep of a prediction log, and whether an upkeep is due, by names and manifests."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.prediction_log import HOUR_SECONDS, OPEN, SEALED, begin_of, hours
from components.core.strict import Strict
from components.identity import manifest as manifests

GRACE_SECONDS = 60.0  # after the end of an hour, for what waits in a worker's queue


class UpkeepRequest(Strict):
    """One round of upkeep.

    Args:
        log: the folder of a model's log.
        model: its name.
        retention_days: after which inputs are removed; None: they stay.
        store: the folder of the artifact store that sealed hours are pushed to; None: they are not.
    """

    log: Path
    model: str
    retention_days: float | None = None
    store: Path | None = None


def is_sealing_due(log: Path, now: float) -> bool:
    """Whether an hour is over and not sealed; its upkeep removes and pushes what is due, too."""
    opened = log / OPEN
    if any(begin_of(hour) + HOUR_SECONDS + GRACE_SECONDS <= now for hour in hours(opened)):
        return True
    return opened.is_dir() and any(opened.glob(".*"))  # left by a killed call


def is_removal_due(request: UpkeepRequest, now: float) -> bool:
    """Whether inputs are to be removed, or hours to be pushed; looks at every sealed hour."""
    folders = sorted((request.log / SEALED).glob("*T*"))
    if request.store is not None:
        pushed = request.store / "predictions" / request.model
        if any(not (pushed / f"{folder.name}.json").is_file() for folder in folders):
            return True
    if request.retention_days is None:
        return False
    before = now - 86_400.0 * request.retention_days
    return any(begin_of(folder.name.partition(".")[0]) < before and _has_inputs(folder) for folder in folders)


def _has_inputs(folder: Path) -> bool:
    try:
        facts = json.loads((folder / manifests.FILE_NAME).read_bytes())["facts"]
    except (OSError, ValueError, KeyError):
        return False  # the upkeep reports it
    return bool(facts.get("inputs")) and not facts.get("inputs_removed")
