"""The output of a stage's process, line by line, through a FIFO: DVC starts the process and passes on no pipe."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from components.core.line_reader import LineReader
from components.core.log import Log

_END = b"\0end of output\0\n"
_MAX_LAST_LINES = 20


class OutputLines:
    """Reads a FIFO in a thread and passes each line to the listener; without a listener there is no FIFO.

    Raises:
        Exception: the listener's exception, at the end of a block that raised none.
    """

    def __init__(self, folder: Path, listener: Log | None) -> None:
        self.path = folder / "output"
        self._last_lines: deque[str] = deque(maxlen=_MAX_LAST_LINES)
        self._reader = LineReader(self._lines(), listener) if listener is not None else None
        self._writer = -1

    def __enter__(self) -> Self:
        if self._reader is not None:
            os.mkfifo(self.path)
            self._writer = os.open(self.path, os.O_RDWR)  # without a writer, the reader sees an end of file
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reader is not None:
            os.write(self._writer, _END)
            failure = self._reader.join()
            os.close(self._writer)
            if failure is not None and error is None:
                raise failure

    def last(self) -> str:
        """The last line so far that is not blank."""
        return next((line for line in reversed(self._last_lines) if line.strip()), "")

    def _lines(self) -> Iterator[str]:
        with self.path.open("rb") as stream:
            for line in stream:
                if line.endswith(_END):
                    return
                text = line.decode(errors="replace").rstrip("\n")
                self._last_lines.append(text)
                yield text
