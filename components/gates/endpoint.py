"""Run the HTTP endpoint of a bundle in isolated worker processes on loopback while the gates use it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from components.access import project_door
from components.access.secret import SECRET_FILE
from components.core import priority
from components.core.errors import ServingError
from components.core.project import Project
from components.core.stage_process import die_with_parent
from components.gates import isolated_worker

READY_SECONDS = 120.0
END_SECONDS = 10.0
TAIL_LINES = 12

# Environment variables that a worker process inherits; it gets no others.
KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "OMP_NUM_THREADS")
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "true", "OMP_WAIT_POLICY": "PASSIVE"}


class EndpointStartFailed(Exception):
    """A worker process ended before the endpoint was ready; the message is the end of the log."""


class Endpoint:
    """Worker processes of a bundle. The constructor starts them, `wait` blocks until they are ready, `close` ends them.

    A context manager that calls `close` at the end of the block.

    Args:
        bento: folder of the Bento.
        workers: number of worker processes.
        name: name of the model version in messages.
    """

    def __init__(self, bento: Path, workers: int, name: str) -> None:
        self._name = name
        self._folder = Path(tempfile.mkdtemp(prefix="modelyard-endpoint-"))
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port: int = self._socket.getsockname()[1]
        self._processes: list[subprocess.Popen[bytes]] = []
        try:
            self._processes = [self._start(bento.resolve(), number) for number in range(1, workers + 1)]
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The worker processes."""
        return [process.pid for process in self._processes]

    def wait(self) -> None:
        """Wait until the endpoint is ready.

        Raises:
            EndpointStartFailed: a worker process ended.
            ServingError: the processes run, but the endpoint is not ready within `READY_SECONDS`.
        """
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            ended = [process for process in self._processes if process.poll() is not None]
            if ended:
                raise EndpointStartFailed(self._tail())
            if self._is_ready():
                return
            time.sleep(0.02)
        raise ServingError(
            f"the endpoint of {self._name} did not become ready",
            got=f"no answer within {READY_SECONDS:.0f} s",
            next_step=f"its log ends: {self._tail()}",
        )

    def close(self) -> None:
        """End the process groups of the workers and remove the temporary folder."""
        self._socket.close()
        for process in self._processes:
            _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(process, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, bento: Path, number: int) -> subprocess.Popen[bytes]:
        home = self._folder / "home"
        metrics = self._folder / "metrics"
        for folder in (home, metrics):
            folder.mkdir(exist_ok=True)
        environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        environment |= {**QUIET, "HOME": str(home), "BENTOML_HOME": str(home), "TMPDIR": str(self._folder)}
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        if (secret := project_door.secret_file(Project.find())).exists():  # the endpoint requires it, like a service
            environment[SECRET_FILE] = str(secret)
        command = [sys.executable, "-I", "-B", "-X", "utf8", isolated_worker.__file__, str(bento)]
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--fd", str(self._socket.fileno()), "--worker-id", str(number)],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self._socket.fileno()],
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        priority.follow(process.pid)
        return process

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=0.5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _tail(self) -> str:
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
