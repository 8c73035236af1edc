"""A line reader keeps reading after its sink has failed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.line_reader import LineReader
from components.versioning.output_lines import OutputLines

LINES = 20_000  # far more bytes than a pipe holds


def _broken(_line: str) -> None:
    raise BrokenPipeError("the reader has gone")


def test_a_takers_failure_is_returned_after_the_last_line_is_read() -> None:
    read: list[int] = []
    failures: list[str] = []

    def lines() -> Iterator[str]:
        for number in range(5):
            read.append(number)
            yield str(number)

    reader = LineReader(lines(), _broken, lambda: failures.append("once"))
    reader.start()
    assert isinstance(reader.join(), BrokenPipeError)
    assert read == [0, 1, 2, 3, 4]
    assert failures == ["once"]


@pytest.mark.timeout(60)
def test_a_fifo_is_read_to_its_end_though_the_listener_fails(tmp_path: Path) -> None:
    lines = OutputLines(tmp_path, _broken)
    with pytest.raises(BrokenPipeError), lines:
        _write(lines.path)
    assert lines.last() == f"line {LINES - 1} of many"


def _write(fifo: Path) -> None:
    """Write like a stage; in a thread, so that a full pipe fails the test instead of blocking it."""
    descriptor = os.open(fifo, os.O_WRONLY)

    def write() -> None:
        with os.fdopen(descriptor, "w") as stream:
            for number in range(LINES):
                stream.write(f"line {number} of many\n")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
