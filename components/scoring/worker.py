"""Processes that score pieces: each has the bundle's predictor, and gets the next piece when it has written one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from components.contracts.score_request import ScoreRequest
from components.core import disk_space
from components.core.errors import ModelyardError, StageKilled
from components.core.stage_process import die_with_parent
from components.scoring.part import PartScorer, PartSeal
from components.scoring.piece import Piece
from components.scoring.sources import ScoreSource

FINISH_SECONDS = 5.0  # after Ctrl-C, for the pieces that are being scored


@dataclass(frozen=True)
class WorkerPlan:
    """What a worker needs beside the pieces.

    Args:
        folder: the working folder.
        run: digest of the model and of the options.
        key_types, kept_types: of the output's columns.
    """

    request: ScoreRequest
    source: ScoreSource
    folder: str
    run: str
    key_types: dict[str, pa.DataType]
    kept_types: dict[str, pa.DataType]


def scorer(plan: WorkerPlan) -> PartScorer:
    """Load the predictor and what reads and writes.

    Raises:
        ModelyardError: as of `model.load`.
    """
    import json

    from components.inference import body
    from components.scoring import model
    from components.scoring.outputs import OutputTable
    from components.scoring.samples import SampleReader
    from components.tasks.dataset_file import open_dataset

    predictor = model.load(plan.request)
    settings, options = model.settings(Path(plan.request.bundle)), plan.request.options
    parameters = body.parameters(predictor.endpoint, json.dumps(options.parameters)) if options.parameters else None
    return PartScorer(
        Path(plan.folder),
        plan.run,
        predictor,
        SampleReader(plan.source, predictor.processor, predictor.endpoint),
        OutputTable(predictor.endpoint, plan.key_types, plan.kept_types),
        parameters,
        settings.samples,
        options.format,
        None if plan.request.dataset is None else open_dataset(Path(plan.request.dataset))[2],
    )


def main(connection: Connection, plan: WorkerPlan, parent: int) -> None:
    """Score the pieces that come over a connection until it is closed; answers are `(number, seal)`, or an error."""
    die_with_parent()
    if os.getppid() != parent:  # it ended before the kernel was told
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        part_scorer = scorer(plan)
        connection.send("ready")
        while (piece := connection.recv()) is not None:
            connection.send((piece.number, part_scorer.score(piece)))
    except (EOFError, BrokenPipeError):
        pass
    except Exception as error:  # noqa: BLE001  # told to the parent, which ends with it
        connection.send(error_as_data(error))


def error_as_data(error: Exception) -> dict[str, Any]:
    """An error of a scoring process as `ModelyardError.to_dict`."""
    if disk_space.is_full(error):
        return disk_space.as_error(error).to_dict()
    if isinstance(error, ModelyardError):
        return error.to_dict()
    import traceback

    text = "".join(traceback.format_exception(error))[-2000:]
    return ModelyardError("a scoring process failed", got=text).to_dict()


class Workers:
    """Worker processes; a context manager that ends them.

    Args:
        count: of processes.
    """

    def __init__(self, count: int, plan: WorkerPlan) -> None:
        context = multiprocessing.get_context("spawn")
        self._processes: dict[Connection, Any] = {}
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=main, args=(theirs, plan, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for connection, process in self._processes.items():
            if kind is None:
                process.join(FINISH_SECONDS)
            if process.is_alive():
                process.terminate()
            process.join()
            connection.close()

    def score(self, pieces: Iterator[Piece]) -> Iterator[tuple[int, PartSeal]]:
        """The numbers and seals of pieces as they are scored; one piece waits, so that no process does.

        Raises:
            ModelyardError: a process failed.
            StageKilled: another process killed one.
        """
        following, busy = next(pieces, None), set(self._processes)
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection)  # noqa: S101  # nothing else is waited for
                answer = self._answer(connection)
                self._send(connection, following)
                if following is None:
                    busy.discard(connection)
                else:
                    following = next(pieces, None)
                if answer is not None:
                    yield answer

    def drain(self) -> Iterator[tuple[int, PartSeal]]:
        """What is finished within `FINISH_SECONDS` of the pieces that are being scored."""
        until = time.monotonic() + FINISH_SECONDS
        waiting = set(self._processes)
        while waiting and (ready := wait(list(waiting), max(0.0, until - time.monotonic()))):
            for connection in ready:
                assert isinstance(connection, Connection)  # noqa: S101  # nothing else is waited for
                waiting.discard(connection)
                try:
                    answer = self._answer(connection)
                except ModelyardError:
                    continue
                if answer is not None:
                    yield answer

    def _send(self, connection: Connection, piece: Piece | None) -> None:
        try:
            connection.send(piece)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._killed(connection) from error

    def _answer(self, connection: Connection) -> tuple[int, PartSeal] | None:
        try:
            answer = connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._killed(connection) from error
        if isinstance(answer, dict):
            raise ModelyardError.from_dict(answer)
        return None if answer == "ready" else answer

    def _killed(self, connection: Connection) -> StageKilled:
        process = self._processes[connection]
        process.join(FINISH_SECONDS)
        code = process.exitcode
        got = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        next_step = "run the same command again; parts that are done are kept. If memory is short: fewer --processes"
        return StageKilled("a scoring process was killed", got=got, next_step=next_step)
