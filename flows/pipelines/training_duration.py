"""The duration and the energy of a training, stored in its run folder for comparisons and budgets.

They are not part of the package: a package of equal inputs is equal byte by byte.
"""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.training_request import Event, Finished, Metrics
from components.core import atomic

FILE = "took.json"
ENERGY = "energy_wh/"  # metrics of the training by source: rapl, nvml, estimated


class Stopwatch:
    """A `MetricSink` that stores the duration of a training, including the time before an interruption.

    Args:
        run_folder: the training's run folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder
        self._energy: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        """Store duration and energy when the training finishes."""
        if isinstance(event, Metrics):
            found = {
                name.removeprefix(ENERGY): value for name, value in event.values.items() if name.startswith(ENERGY)
            }
            self._energy = found or self._energy
        if isinstance(event, Finished):
            document = {"epochs": event.epochs, "seconds": event.seconds, "energy_wh": self._energy}
            atomic.write_text(self._run_folder / FILE, json.dumps(document))

    def close(self) -> None:
        """Nothing to close."""


def seconds(run_folder: Path) -> float | None:
    """The duration of the training in a run folder, in seconds; None if none was stored."""
    try:
        return float(json.loads((run_folder / FILE).read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def energy_wh(run_folder: Path) -> dict[str, float]:
    """The energy of the training in a run folder in watt-hours, by source; empty if none was stored."""
    try:
        stored = json.loads((run_folder / FILE).read_bytes())["energy_wh"]
        return {str(source): float(value) for source, value in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
