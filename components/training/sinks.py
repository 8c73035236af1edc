"""Receivers of training events: lines of JSON for the flow, a TensorBoard log, several receivers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from components.contracts.metric_sink import MetricSink
from components.contracts.training_request import Event, Metrics


class EventStream:
    """One JSON event on each line. A closed pipe does not stop the training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def emit(self, event: Event) -> None:
        """Write and flush a line."""
        if self._stream is None:
            return
        try:
            self._stream.write(event.model_dump_json() + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None

    def close(self) -> None:
        """Nothing to flush: every line is flushed."""


class TensorBoardLog:
    """Metrics as scalars of TensorBoard, without TensorFlow. The writer is imported with the first event."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: _Writer | None = None

    def emit(self, event: Event) -> None:
        """Add the values of a `Metrics` event at its step."""
        if isinstance(event, Metrics):
            self._opened().add(event)

    def add(self, summary: Any, step: int) -> None:
        """Add a summary that `torch.utils.tensorboard.summary` made."""
        self._opened().write(summary, step)

    def _opened(self) -> _Writer:
        if self._writer is None:
            self._writer = _Writer(self._folder)
        return self._writer

    def close(self) -> None:
        """Flush and close the writer."""
        if self._writer is not None:
            self._writer.close()


class _Writer:
    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._events, self._summaries = event_pb2, summary_pb2
        self._file = EventFileWriter(str(folder))

    def add(self, event: Metrics) -> None:
        values = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in event.values.items()]
        self.write(self._summaries.Summary(value=values), event.step)

    def write(self, summary: Any, step: int) -> None:
        self._file.add_event(self._events.Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        self._file.close()


class Fanout:
    """Passes each event to several sinks."""

    def __init__(self, sinks: Sequence[MetricSink]) -> None:
        self._sinks = sinks

    def emit(self, event: Event) -> None:
        """Pass an event to each sink."""
        for sink in self._sinks:
            sink.emit(event)

    def close(self) -> None:
        """Close each sink."""
        for sink in self._sinks:
            sink.close()
