"""The output of a job is read as it grows, whole lines and whole characters."""

from __future__ import annotations

import threading
from pathlib import Path

from flows.runners import job_runner


def test_a_half_written_line_and_character_are_waited_for(tmp_path: Path) -> None:
    path, ended = tmp_path / "1.out", threading.Event()
    content = "é".encode()
    lines = job_runner._lines(path, ended)
    path.write_bytes(b"one\ntw" + content[:1])
    assert next(lines) == "one"
    with path.open("ab") as stream:
        stream.write(content[1:] + b"\nthree")
    assert next(lines) == "twé"
    ended.set()
    assert list(lines) == ["three"]
