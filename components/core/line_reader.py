"""Reading a child's pipe in a thread. The thread always reads to the end, so that the child never waits for us."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable


class LineReader:
    """A thread that hands each line on, in the context of the thread that starts it.

    A failure of `sink` (its own reader has gone, a disk is full) does not end the reading: the failure is remembered,
    the rest is read and dropped, and `join` returns the failure.

    Args:
        lines: where the lines come from; iterated in the thread.
        sink: takes each line.
        on_failure: called once, in the thread, when `sink` has failed.
    """

    def __init__(
        self, lines: Iterable[str], sink: Callable[[str], None], on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._lines, self._sink, self._on_failure = lines, sink, on_failure
        self._failure: BaseException | None = None
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._read,), daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def join(self) -> BaseException | None:
        """Wait until the last line is read; returns why `sink` failed, if it did."""
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
