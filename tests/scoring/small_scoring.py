"""Requests to score with small bundles, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.contracts.score_request import ScoreRequest
from components.core.errors import ModelyardError
from components.identity import digest
from components.scoring import batch, worker
from components.scoring.batch import Done
from components.scoring.part import PartSeal
from components.scoring.piece import Piece

ROOT = Path(__file__).resolve().parents[2]


def request(bundle: Path, inputs: Path | list[Path], out: Path, **fields: Any) -> ScoreRequest:
    """A request of model `sample`, version 1."""
    paths = inputs if isinstance(inputs, list) else [inputs]
    texts = list(map(str, paths))
    document = {"names": [path.name for path in paths], **fields}
    return ScoreRequest.model_validate(
        {"model": "sample", "version": "1", "bundle": str(bundle), "bundle_digest": None, "inputs": texts,
         "out": str(out), **document}
    )  # fmt: skip


class InThisProcess:
    """In place of `worker.Workers`: the same scorer in this process, as a process of its own takes seconds to start."""

    def __init__(self, _count: int, plan: worker.WorkerPlan) -> None:
        self._scorer = worker.scorer(plan)

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def score(self, pieces: Iterator[Piece]) -> Iterator[tuple[int, PartSeal]]:
        """As `Workers.score`."""
        for piece in pieces:
            yield piece.number, self._scorer.score(piece)


def score(monkeypatch: pytest.MonkeyPatch, asked: ScoreRequest) -> Done:
    """Score in this process."""
    monkeypatch.setattr(batch, "Workers", InThisProcess)
    return batch.score(asked, lambda _: None)


def refusal(monkeypatch: pytest.MonkeyPatch, asked: ScoreRequest) -> ModelyardError:
    """The error that a request ends with."""
    with pytest.raises(ModelyardError) as caught:
        score(monkeypatch, asked)
    return caught.value


def start(asked: ScoreRequest, folder: Path) -> subprocess.Popen[str]:
    """Start the stage as the command line does."""
    path = folder / f"request-{digest.short(digest.of_value(asked.model_dump(mode='json')))}.json"
    path.write_text(asked.model_dump_json())
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "components.scoring", str(path)],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def content(folder: Path) -> dict[str, str]:
    """The sha256 of each file of an output."""
    return {
        path.relative_to(folder).as_posix(): digest.of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
