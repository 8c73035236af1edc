"""Scores pieces on a Dask cluster: as `worker.Workers`, but a piece of a worker that ends is scored by another one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from components.cluster import dask_cluster
from components.contracts.dask_request import DaskRequest
from components.scoring import remote_part
from components.scoring.part import PartSeal
from components.scoring.piece import Piece
from components.scoring.remote_part import ObjectFile, RemotePiece
from components.scoring.worker import FINISH_SECONDS, WorkerPlan

_PIECES = "pieces"  # folder


class DaskWorkers:
    """The workers of a cluster; a context manager that ends a cluster on this machine.

    Args:
        count: most processes of a cluster on this machine.
    """

    def __init__(self, request: DaskRequest, count: int, plan: WorkerPlan) -> None:
        self._request, self._plan, self._during = request, plan, ExitStack()
        if request.cluster.scheduler is None:
            own = request.cluster.model_copy(update={"workers": count})
            self._request = request.model_copy(update={"cluster": own})
        self._folder = Path(plan.folder) / _PIECES

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # of a killed run
        self._folder.mkdir()
        asked = self._plan.request
        inputs = [Path(path) for path in (asked.bundle, *asked.inputs, asked.dataset) if path is not None]
        self._cluster = self._during.enter_context(
            dask_cluster.opened(
                self._request, "run.score", Path(self._plan.folder), inputs, packages=("onnxruntime",),
                relief="or name fewer `workers`",
            )
        )  # fmt: skip
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._during.__exit__(kind, error, at)
        shutil.rmtree(self._folder, ignore_errors=True)

    def score(self, pieces: Iterator[Piece]) -> Iterator[tuple[int, PartSeal]]:
        """The numbers and seals of pieces as they are scored.

        Raises:
            ModelyardError: a piece cannot be scored, workers were killed again and again, or there is none left.
        """
        numbers: dict[int, int] = {}  # of pieces, by those of the calls
        for call, seal in self._cluster.map(remote_part.score, self._remote(pieces, numbers)):
            yield self._done(numbers, call), seal

    def _remote(self, pieces: Iterator[Piece], numbers: dict[int, int]) -> Iterator[RemotePiece]:
        self._numbers = numbers
        plan = ObjectFile.write(self._folder / "plan", self._plan)
        for call, piece in enumerate(pieces):
            numbers[call] = piece.number
            yield RemotePiece(plan, ObjectFile.write(self._file(piece.number), piece))

    def _file(self, number: int) -> Path:
        return self._folder / str(number)

    def _done(self, numbers: dict[int, int], call: int) -> int:
        number = numbers.pop(call)
        self._file(number).unlink(missing_ok=True)
        return number

    def drain(self) -> Iterator[tuple[int, PartSeal]]:
        """What is finished within `FINISH_SECONDS` of the pieces that are being scored."""
        for call, seal in self._cluster.drain(FINISH_SECONDS):
            yield self._done(self._numbers, call), seal
