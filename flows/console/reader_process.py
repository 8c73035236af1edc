"""The console's side of a reader: started when something is asked for, one question at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

from components.core import readable
from components.core.errors import ModelyardError, StackError
from components.core.project import Project

TIMEOUT_SECONDS = 300.0
CLOSED_SECONDS = 0.1  # between two looks at whether the console ends


class ReaderProcess:
    """A reader that is started again when it has ended. Threads take turns."""

    def __init__(self, project: Project, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._project, self._timeout_seconds = project, timeout_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()

    def ask(self, reading: str, *arguments: str) -> dict[str, Any]:
        """The document of a reading.

        Raises:
            ModelyardError: as the reading raised it.
            StackError: the reader ended, or did not answer within the time.
        """
        line = json.dumps({"reading": reading, "arguments": arguments}).encode() + b"\n"
        with self._lock:
            reply = self._exchange(line) or self._exchange(line)  # one that was idle may end as it is asked
            if reply is None:
                raise StackError(f"the reader ended before it had read {reading}", next_step="reload the page")
        document: dict[str, Any] = json.loads(reply)
        if "error" in document:
            raise ModelyardError.from_dict(document["error"])
        value: dict[str, Any] = document["value"]
        return value

    def close(self) -> None:
        """End the reader at once, also while it reads; what is asked for after that fails."""
        self._closed.set()
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()

    def _exchange(self, line: bytes) -> bytes | None:
        if self._closed.is_set():
            return None
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flows.console.reader"],
                cwd=self._project.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # it lowers the priority of its session
            )
        process = self._process
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            self._end()
            return None
        deadline = time.monotonic() + self._timeout_seconds
        while not readable.wait([process.stdout], CLOSED_SECONDS):
            if self._closed.is_set():
                self._end()
                return None
            if time.monotonic() > deadline:
                self._end()
                raise StackError(f"no answer within {self._timeout_seconds:.0f} s", next_step="reload the page")
        reply = process.stdout.readline()
        if not reply.endswith(b"\n"):
            self._end()
            return None
        return reply

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()
