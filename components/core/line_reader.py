"""Reads a child's pipe in a thread. The thread always reads to the end, so the child never blocks on a full pipe."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable

from components.core.log import Log


class LineReader:
    """A thread that passes each line to `sink`, in the context variables of the thread that created it.

    If `sink` raises (a closed pipe, a full disk), the remaining lines are read and dropped, and `join` returns the
    exception.

    Args:
        lines: the lines; iterated in the thread.
        sink: called with each line.
        on_failure: called once, in the thread, when `sink` has raised.
    """

    def __init__(self, lines: Iterable[str], sink: Log, on_failure: Callable[[], None] = lambda: None) -> None:
        self._lines, self._sink, self._on_failure = lines, sink, on_failure
        self._failure: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._read,), daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self) -> BaseException | None:
        """Wait until the last line is read; returns the exception of `sink`, or None."""
        self._thread.join()
        return self._failure

    def _read(self) -> None:
        for line in self._lines:
            if self._failure is None:
                try:
                    self._sink(line)
                except BaseException as failure:  # noqa: BLE001  # returned by `join`, and raised there
                    self._failure = failure
                    self._on_failure()
