"""How long a training took, kept beside what it left: for comparisons."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.training_request import Event, Finished
from components.core import atomic

FILE = "took.json"


class Stopwatch:
    """A `MetricSink` that keeps the seconds of a training, those before an interruption included.

    Args:
        run_folder: of the training.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder

    def emit(self, event: Event) -> None:
        """Keep the last one's."""
        if isinstance(event, Finished):
            document = {"epochs": event.epochs, "seconds": event.seconds}
            atomic.write_text(self._run_folder / FILE, json.dumps(document))

    def close(self) -> None:
        """Nothing is held."""


def seconds(run_folder: Path) -> float | None:
    """Of the training in that folder; None where nobody took the time."""
    try:
        return float(json.loads((run_folder / FILE).read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
