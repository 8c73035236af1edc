"""What a stage's process says, line by line, through a FIFO: DVC starts the process and hands over no pipe of ours."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

_END = b"\0end of output\0\n"
_KEPT = 20


class OutputLines:
    """Reads a FIFO in a thread and hands each line on; without a listener there is no FIFO."""

    def __init__(self, folder: Path, listener: Callable[[str], None] | None) -> None:
        self.place = folder / "output"
        self._listener = listener
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._keeper = -1

    def __enter__(self) -> Self:
        if self._listener is not None:
            os.mkfifo(self.place)
            self._keeper = os.open(self.place, os.O_RDWR)  # never without a writer: the reader sees no early end
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            os.write(self._keeper, _END)
            self._thread.join()
            os.close(self._keeper)

    def last(self) -> str:
        """The last line so far that is not empty."""
        return next((line for line in reversed(self._kept) if line.strip()), "")

    def _read(self) -> None:
        assert self._listener is not None  # noqa: S101  # the thread is only started with one
        with self.place.open("rb") as stream:
            for line in stream:
                if line.endswith(_END):
                    return
                text = line.decode(errors="replace").rstrip("\n")
                self._kept.append(text)
                self._listener(text)
