"""Where stages run: the seam between the flows and the machines.

`LocalProcessRunner` is the default. An adapter for a work pool, for Slurm or for torchrun implements `StageRunner` and
starts `flows.pipelines.stage_job` on the other machine; no stage and no flow changes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from components.contracts.stage_request import StageHandle, StageRequest, StageResult
from components.core import disk_space
from components.core.errors import Interrupted, ModelyardError

GRACE_SECONDS = 60.0

LineSink = Callable[[str], None]


class StageRunner(Protocol):
    """Runs stages somewhere."""

    def submit(self, request: StageRequest) -> StageHandle:
        """Start a stage, and return at once.

        Raises:
            NotFoundError, CorruptArtifactError: an input is not there, or is not the one that the request names.
        """
        ...

    def follow(self, handle: StageHandle, on_event: LineSink, on_log: LineSink) -> None:
        """Hand on what a stage prints, until the stage has ended.

        Args:
            on_event: takes each line of the stage's standard output as it comes: events, for machines.
            on_log: takes each line of its standard error: messages for people. Each is called from a thread of its own.

        Raises:
            ModelyardError: what the stage raised.
            StageKilled: the stage was killed from outside.
            Exception: what `on_event` or `on_log` raised; the stage is stopped first.
        """
        ...

    def cancel(self, handle: StageHandle, *, grace_seconds: float) -> ModelyardError | None:
        """Interrupt a stage, and kill it if it has not ended after the grace; returns when it has ended.

        Returns:
            The error that the stage left; None if it left none or had ended before.
        """
        ...

    def collect(self, handle: StageHandle, request: StageRequest) -> StageResult:
        """Bring the outputs of a stage that ended well to their places in the project, verified.

        Raises:
            NotFoundError, CorruptArtifactError: an output is missing or is not as sealed.
        """
        ...


class _Terminated(BaseException):
    """SIGTERM, raised where the main thread waits for a stage."""


def run(
    runner: StageRunner,
    request: StageRequest,
    on_event: LineSink,
    on_log: LineSink,
    grace_seconds: float = GRACE_SECONDS,
) -> StageResult:
    """Run a stage to its end.

    Ctrl-C, and SIGTERM to a process that has no handler of its own for it, cancel the stage.

    Args:
        grace_seconds: how long a cancelled stage has to keep its work, before it is killed.

    Raises:
        ModelyardError: what the stage raised.
        Exception: what `on_event` or `on_log` raised.
        StageKilled: the stage was killed from outside.
        Interrupted: Ctrl-C or SIGTERM.
    """
    with disk_space.reported(Path(request.request_file)), _Sigterm() as sigterm:
        handle = runner.submit(request)
        _follow(runner, handle, on_event, on_log, grace_seconds, sigterm)
        return runner.collect(handle, request)


def call(
    stage: str,
    request: str,
    *,
    folder: Path,
    request_file: Path,
    on_event: LineSink,
    on_log: LineSink,
    grace_seconds: float = GRACE_SECONDS,
) -> None:
    """`run` on this machine, of a request that names no artifacts.

    Args:
        request: the stage's own request as JSON; written to `request_file`.
        folder: working directory of the stage, the project's root.
        on_event, on_log: as `on_event` and `on_log` of `StageRunner.follow`.
    """
    from flows.pipelines.local_runner import LocalProcessRunner

    runner = LocalProcessRunner(folder)
    with disk_space.reported(request_file), _Sigterm() as sigterm:
        handle = runner.start(stage, request, request_file)
        _follow(runner, handle, on_event, on_log, grace_seconds, sigterm)


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
    """SIGTERM while a stage runs, in a process that has no handler for it (as Prefect's engine has).

    Within the block the signal is noted. It raises `_Terminated` between `arm` and `disarm`: there, and only there, the
    stage that was started is known and can be cancelled. A signal that came before is raised by `arm`.
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
        """From here on the signal raises."""
        self._armed = True
        if self._received:
            raise _Terminated

    def disarm(self) -> None:
        """From here on the signal is noted."""
        self._armed = False

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        is_second, self._received = self._received, True
        if is_second:  # whoever asks a second time does not wait for the stage
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
        if self._armed:
            raise _Terminated
