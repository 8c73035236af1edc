"""The protocol that runs stages on a machine, and running one stage to its end.

`LocalProcessRunner` is the default. An adapter for a work pool, for Slurm or for torchrun implements `StageRunner` and
starts `flows.runners.stage_job` on the other machine; stages and flows stay unchanged.
"""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core import disk_space
from components.core.errors import Interrupted, ModelyardError
from components.core.log import Log

GRACE_SECONDS = 60.0

LineSink = Log


class StageRunner(Protocol):
    """Runs stages on one kind of machine."""

    def submit(self, request: StageRequest) -> StageHandle:
        """Start a stage and return without waiting for it.

        Raises:
            NotFoundError, CorruptArtifactError: an input is missing, or its digest differs from the request.
        """
        ...

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        """Forward a stage's output until the stage has ended.

        Args:
            on_event: called with each line of the stage's standard output (events), in a thread of its own.
            on_log: called with each line of its standard error (messages), in a thread of its own.

        Raises:
            ModelyardError: the stage's error.
            StageKilled: another process killed the stage.
            Exception: the error of `on_event` or `on_log`; the stage is stopped first.
        """
        ...

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """Interrupt a stage, kill it after `grace_seconds`, and wait until it has ended.

        Returns:
            The stage's error; None if the stage wrote none or had already ended.
        """
        ...

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """Copy the outputs of a successful stage into the project, and verify them.

        Raises:
            NotFoundError, CorruptArtifactError: an output is missing or differs from its manifest.
        """
        ...


class _Terminated(BaseException):
    """Raised in the main thread when SIGTERM arrives while it waits for a stage."""


def run(
    runner: StageRunner,
    request: StageRequest,
    on_event: LineSink,
    on_log: LineSink,
    grace_seconds: float = GRACE_SECONDS,
) -> StageResult:
    """Run a stage to its end.

    Ctrl-C cancels the stage. So does SIGTERM, if the process has no handler for it.

    Args:
        grace_seconds: time for a cancelled stage to save its work before it is killed.

    Raises:
        ModelyardError: the stage's error.
        Exception: the error of `on_event` or `on_log`.
        StageKilled: another process killed the stage.
        Interrupted: Ctrl-C or SIGTERM.
    """
    with disk_space.reported(Path(request.request_file)), _Sigterm() as sigterm:
        handle = runner.submit(request)
        _follow(runner, handle, on_event, on_log, grace_seconds, sigterm)
        return runner.collect(handle, request)


def _follow(
    runner: StageRunner,
    handle: StageHandle,
    on_event: LineSink,
    on_log: LineSink,
    grace_seconds: float,
    sigterm: _Sigterm,
) -> None:
    try:
        sigterm.arm()
        runner.follow(handle, on_event, on_log)
        sigterm.disarm()
    except BaseException as error:
        sigterm.disarm()
        stage_error = runner.cancel(handle, grace_seconds=grace_seconds)
        if not isinstance(error, KeyboardInterrupt | _Terminated):
            raise
        if stage_error is not None:
            raise stage_error from error
        received = "SIGTERM" if isinstance(error, _Terminated) else None
        raise Interrupted(f"{handle.stage} was stopped", got=received) from error


class _Sigterm:
    """Handles SIGTERM while a stage runs, unless the process has a handler (as Prefect's engine has).

    Within the block the signal is recorded. Between `arm` and `disarm` the signal raises `_Terminated`: only there is
    the started stage known and can be cancelled. `arm` raises a signal that was recorded earlier.
    """

    def __init__(self) -> None:
        self._armed = self._received = self._installed = False

    def __enter__(self) -> Self:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._receive)
            self._installed = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._installed:
            return
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._received and error is None:  # after the stage had ended
            signal.raise_signal(signal.SIGTERM)

    def arm(self) -> None:
        """Let the signal raise `_Terminated` from now on."""
        self._armed = True
        if self._received:
            raise _Terminated

    def disarm(self) -> None:
        """Only record the signal from now on."""
        self._armed = False

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        is_second, self._received = self._received, True
        if is_second:  # a second SIGTERM ends the process without waiting for the stage
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        if self._armed:
            raise _Terminated
