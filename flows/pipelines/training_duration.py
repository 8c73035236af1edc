"""The duration, the energy and the memory of a training, stored in its run folder for comparisons and budgets.

They are not part of the package: a package of equal inputs is equal byte by byte.
"""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.training_request import Event, Finished, Metrics
from components.core import atomic

FILE = "took.json"
MEMORY = "peak_memory_mb"
ENERGY = "energy_wh/"  # metrics of the training by source: rapl, nvml, estimated


class Stopwatch:
    """A `MetricSink` that stores the duration of a training, including the time before an interruption.

    Args:
        run_folder: the training's run folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder
        self._energy: dict[str, float] = {}
        self._memory: float | None = None

    def emit(self, event: Event) -> None:
        """Store duration, energy and memory when the training finishes."""
        if isinstance(event, Metrics):
            found = {
                name.removeprefix(ENERGY): value for name, value in event.values.items() if name.startswith(ENERGY)
            }
            self._energy = found or self._energy
            self._memory = event.values.get(MEMORY, self._memory)
        if isinstance(event, Finished):
            measured = {"energy_wh": self._energy, MEMORY: self._memory}
            document = {"epochs": event.epochs, "seconds": event.seconds, **measured}
            atomic.write_text(self._run_folder / FILE, json.dumps(document))

    def close(self) -> None:
        """Nothing to close."""


def seconds(run_folder: Path) -> float | None:
    """The duration of the training in a run folder, in seconds; None if none was stored."""
    return _stored(run_folder, "seconds")


def peak_memory_mb(run_folder: Path) -> float | None:
    """The most memory of the training in a run folder, in megabytes; None if none was stored."""
    return _stored(run_folder, MEMORY)


def _stored(run_folder: Path, name: str) -> float | None:
    try:
        return float(json.loads((run_folder / FILE).read_bytes())[name])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def energy_wh(run_folder: Path) -> dict[str, float]:
    """The energy of the training in a run folder in watt-hours, by source; empty if none was stored."""
    try:
        stored = json.loads((run_folder / FILE).read_bytes())["energy_wh"]
        return {str(source): float(value) for source, value in stored.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
