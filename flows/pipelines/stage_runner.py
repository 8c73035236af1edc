"""Calling a stage's process: its errors come back as they were raised, a kill as StageKilled, Ctrl-C is handed on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from components.core import disk_space
from components.core.errors import Interrupted, ModelyardError, StageKilled
from components.core.line_reader import LineReader
from components.core.stage_process import ERROR_FILE, failure

GRACE_SECONDS = 60


def call(
    stage: str,
    request: str,
    *,
    folder: Path,
    request_file: Path,
    on_line: Callable[[str], None],
    on_words: Callable[[str], None],
) -> None:
    """Run `python -m components.<stage> REQUEST.json` to its end.

    Args:
        request: the request's JSON; written to `request_file`.
        folder: working directory, the project's root.
        on_line: takes each line of the stage's standard output as it comes: events, for machines.
        on_words: takes each line of its standard error: words for people. Each is called from a thread of its own.

    Raises:
        ModelyardError: what the stage raised.
        Exception: what `on_line` or `on_words` raised; the stage is stopped, and both pipes are read to their end.
        DiskFullError: there is no space left for the request, or for what the stage makes.
        StageKilled: the process was killed from outside.
        Interrupted: Ctrl-C; the stage had `GRACE_SECONDS` to keep its work.
    """
    with disk_space.reported(request_file), tempfile.TemporaryDirectory() as place:
        request_file.parent.mkdir(parents=True, exist_ok=True)
        request_file.write_text(request)
        error_file = Path(place) / "error.json"
        with subprocess.Popen(
            [sys.executable, "-m", f"components.{stage}", str(request_file)],
            cwd=folder,
            env={**os.environ, ERROR_FILE: str(error_file), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",  # what a library prints is not always UTF-8
            # The terminal's Ctrl-C comes to us alone, and we hand it on once.
            start_new_session=True,
        ) as process:
            readers = [
                LineReader(_lines(stream), take, on_failure=process.terminate)
                for stream, take in ((process.stdout, on_line), (process.stderr, on_words))
            ]
            for reader in readers:
                reader.start()
            try:
                failures = [reader.join() for reader in readers]
                code = process.wait()
            except BaseException as error:
                code = _stop(process, signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
                for reader in readers:
                    reader.join()
                if isinstance(error, KeyboardInterrupt):
                    raise _error(stage, code, error_file) or Interrupted(f"{stage} was stopped") from error
                raise
        for taker_failure in failures:
            if taker_failure is not None:
                raise taker_failure
        stage_failure = _error(stage, code, error_file)
        if stage_failure:
            raise stage_failure


def _error(stage: str, code: int, error_file: Path) -> ModelyardError | None:
    if code == 0:
        return None
    if left := failure(code, error_file):
        return left
    killed = -code if code < 0 else code - 128
    if killed in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT):
        return StageKilled(
            f"{stage} was killed", got=signal.Signals(killed).name, next_step="run again; what was done is kept"
        )
    return ModelyardError(f"{stage} failed", got=f"exit code {code}", next_step="its output above says more")


def _lines(stream: IO[str] | None) -> Iterator[str]:
    assert stream is not None  # noqa: S101  # both are pipes
    for line in stream:
        yield line.rstrip("\n")


def _stop(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    try:
        process.wait(timeout=GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait()
