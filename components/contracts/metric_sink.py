"""Where training's events go. Training emits; TensorBoard, the event stream and the registry's run listen."""

from __future__ import annotations

from typing import Protocol

from components.contracts.training_request import Event


class MetricSink(Protocol):
    """Takes events in the order in which they happen; must not raise for a listener's trouble."""

    def emit(self, event: Event) -> None:
        """Take one event."""

    def close(self) -> None:
        """Hand on what is still held."""
