"""The samples of a dataset of the project, as requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from components.core.errors import NotFoundError, UsageError
from components.identity import manifest
from components.ingestion import sample_file
from components.scoring.piece import Piece
from components.tasks.dataset_file import open_dataset


class DatasetSample(NamedTuple):
    """A sample as the body of a request, with its truth as text."""

    id: str
    split: str | None
    truth: str
    content: bytes
    media: str


def of(folder: Path, split: str | None) -> Iterator[Piece]:
    """The samples of a dataset, or of one split, by row groups of its file.

    Raises:
        NotFoundError: the dataset is not here, or it is not prepared and a split is asked for.
        UsageError: its samples are windows of a table, which no file has one by one.
    """
    spec, task, _ = open_dataset(folder)
    if hasattr(task, "window_example"):
        raise UsageError(
            "the samples of this dataset are windows over its rows",
            where=str(folder),
            next_step="score files of windows: one CSV file each, with as many rows as the model looks back",
        )
    next_step = f"`modelyard run` with a pipeline of {spec.name} makes it"
    raw = folder / "raw" / sample_file.FILE_NAME
    if not raw.is_file():
        raise NotFoundError(f"the data of {spec.name} is not here", where=str(raw), next_step=next_step)
    manifest.verify(raw.parent, "raw")
    splits = _splits(folder)
    if split is not None and not splits:
        raise NotFoundError(f"{spec.name} is not prepared, so it has no splits", where=str(folder), next_step=next_step)
    number = 0
    for group in sample_file.groups(raw):
        chosen = []
        for sample in group:
            own = splits.get(sample.id, sample.split)
            if split is None or own == split:
                example = task.example(sample.values)
                chosen.append(DatasetSample(sample.id, own, example.truth, example.content, example.media))
        if chosen:
            yield Piece(number, "samples", 0, 0, chosen)
            number += 1


def _splits(folder: Path) -> dict[str, str]:
    path = folder / "prepared" / sample_file.FILE_NAME
    if not path.is_file():
        return {}
    table = pq.read_table(path, columns=["id", "split"])
    return dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
