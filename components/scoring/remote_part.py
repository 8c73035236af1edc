"""Scores a piece as a task of a Dask cluster: plan and piece come in files, which the worker checks by their digests.

A task may run again, or twice at once: it writes the same part.
"""

from __future__ import annotations

import hashlib
import pickle
import threading
from pathlib import Path
from typing import Any, NamedTuple

from components.core import atomic
from components.core.errors import CorruptArtifactError, ModelyardError
from components.scoring import worker
from components.scoring.part import PartScorer, PartSeal


class ObjectFile(NamedTuple):
    """A Python object in a file of the working folder.

    Args:
        sha256: of the file; other bytes are not loaded.
    """

    path: Path
    sha256: str

    @staticmethod
    def write(path: Path, value: object) -> ObjectFile:
        """Write the file, which is there as a whole or not at all."""
        content = pickle.dumps(value)
        atomic.write_bytes(path, content)
        return ObjectFile(path, hashlib.sha256(content).hexdigest())

    def read(self) -> Any:
        """The object.

        Raises:
            CorruptArtifactError: the file is not the one that was written.
        """
        content = self.path.read_bytes()
        if (found := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise CorruptArtifactError(
                "a file of the working folder was changed", where=str(self.path), got=found, expected=self.sha256
            )
        return pickle.loads(content)  # noqa: S301  # these are the bytes that the stage's process wrote


class RemotePiece(NamedTuple):
    """A piece for a worker.

    Args:
        plan: a `WorkerPlan`.
        piece: a `Piece`.
    """

    plan: ObjectFile
    piece: ObjectFile


_thread = threading.local()  # a worker may have several; a predictor is of one


def score(item: RemotePiece) -> PartSeal:
    """Score a piece and write its part.

    Raises:
        ModelyardError: the predictor cannot be used, the disk is full, or our code failed.
    """
    try:
        return _scorer(item.plan).score(item.piece.read())
    except Exception as error:
        raise ModelyardError.from_dict(worker.error_as_data(error)) from error


def _scorer(plan: ObjectFile) -> PartScorer:
    """The scorer of this thread; it stays for the next piece."""
    known: tuple[ObjectFile, PartScorer] | None = getattr(_thread, "known", None)
    if known is None or known[0] != plan:
        known = (plan, worker.scorer(plan.read()))
        _thread.known = known
    return known[1]
