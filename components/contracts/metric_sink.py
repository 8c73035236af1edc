"""Receivers of training events: TensorBoard, the event stream, the registry's run."""

from __future__ import annotations

from typing import Protocol

from components.contracts.training_request import Event


class MetricSink(Protocol):
    """Receives events in order. A failure of the receiver must not raise into the training."""

    def emit(self, event: Event) -> None:
        """Receive one event."""

    def close(self) -> None:
        """Flush and close."""
