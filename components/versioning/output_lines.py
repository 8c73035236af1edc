"""The output of a stage's process, line by line, through a FIFO: DVC starts the process and passes on no pipe."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from components.core.line_reader import LineReader

_END = b"\0end of output\0\n"
_KEPT = 20


class OutputLines:
    """Reads a FIFO in a thread and passes each line to the listener; without a listener there is no FIFO.

    Raises:
        Exception: the listener's exception, at the end of a block that raised none.
    """

    def __init__(self, folder: Path, listener: Callable[[str], None] | None) -> None:
        self.place = folder / "output"
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self._reader = LineReader(self._lines(), listener) if listener is not None else None
        self._keeper = -1

    def __enter__(self) -> Self:
        if self._reader is not None:
            os.mkfifo(self.place)
            self._keeper = os.open(self.place, os.O_RDWR)  # never without a writer: the reader sees no early end
            self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._reader is not None:
            os.write(self._keeper, _END)
            failure = self._reader.join()
            os.close(self._keeper)
            if failure is not None and error is None:
                raise failure

    def last(self) -> str:
        """The last line so far that is not blank."""
        return next((line for line in reversed(self._kept) if line.strip()), "")

    def _lines(self) -> Iterator[str]:
        with self.place.open("rb") as stream:
            for line in stream:
                if line.endswith(_END):
                    return
                text = line.decode(errors="replace").rstrip("\n")
                self._kept.append(text)
                yield text
