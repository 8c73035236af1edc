"""Shows training progress: one updated line on a terminal, else a log line every `EVERY_SECONDS`."""

from __future__ import annotations

import sys
import time

from components.contracts.training_request import Event, Finished, TrainingProgress
from components.core.log import Log

EVERY_SECONDS = 10.0


class ProgressLine:
    """A `MetricSink` that shows loss, metric, samples per second and time left."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._is_terminal = sys.stderr.isatty()
        self._logged_at = 0.0
        self._drawn = False

    def emit(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, TrainingProgress):
            self._progress(event)
        elif isinstance(event, Finished):
            self.close()

    def close(self) -> None:
        """End the updated line."""
        if self._drawn:
            print(file=sys.stderr, flush=True)
            self._drawn = False

    def _progress(self, event: TrainingProgress) -> None:
        metric = "" if event.metric is None else f"  {event.metric_name} {event.metric:.4f}"
        text = (
            f"epoch {event.epoch + 1}  step {event.step}/{event.total_steps}  loss {event.loss:.4f}{metric}"
            f"  {event.samples_per_second:,.0f} samples/s  {event.seconds_left:.0f} s left"
        )
        if self._is_terminal:
            print(f"\r  {text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._drawn = True
        elif time.monotonic() - self._logged_at >= EVERY_SECONDS:
            self._logged_at = time.monotonic()
            self._log(text)
