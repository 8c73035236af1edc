"""The duration of a training in seconds, stored in its run folder for comparisons."""

from __future__ import annotations

import json
from pathlib import Path

from components.contracts.training_request import Event, Finished
from components.core import atomic

FILE = "took.json"


class Stopwatch:
    """A `MetricSink` that stores the duration of a training, including the time before an interruption.

    Args:
        run_folder: the training's run folder.
    """

    def __init__(self, run_folder: Path) -> None:
        self._run_folder = run_folder

    def emit(self, event: Event) -> None:
        """Store the duration when the training finishes."""
        if isinstance(event, Finished):
            document = {"epochs": event.epochs, "seconds": event.seconds}
            atomic.write_text(self._run_folder / FILE, json.dumps(document))

    def close(self) -> None:
        """Nothing to close."""


def seconds(run_folder: Path) -> float | None:
    """The duration of the training in a run folder, in seconds; None if none was stored."""
    try:
        return float(json.loads((run_folder / FILE).read_bytes())["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
