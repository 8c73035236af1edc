"""Features of all samples of a prepared dataset: of pictures and series from the arrays, of texts their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import TokensInput
from components.core.progress import Progress
from components.ingestion import sample_file
from components.preprocessing.stored import StoredSplit
from components.tasks.task import Task
from components.validation import sample_features
from components.validation.sample_features import Features

FINE_CELLS, FINE_POINTS = 16, 64


def of_samples(
    task: Task, raw: Path, prepared: Path, specs: list[ArraySpec], listed: pd.DataFrame, name: str
) -> Features | None:
    """Features (N, F) of the samples in the order of `listed` (split, row, id); None for samples without any."""
    if issubclass(task.input_type, TokensInput):
        return sample_features.of_texts(_texts(task, raw, listed, name))
    parts = []
    with Progress(f"features of {name}", len(listed)) as progress:
        for split, rows in listed.groupby("split", sort=False)["row"]:
            stored = StoredSplit(prepared / str(split), specs)
            parts.append(sample_features.of_arrays(stored, rows.to_numpy(), FINE_CELLS, FINE_POINTS))
            progress.advance(len(rows))
    found = sample_features.below(parts)
    return found if found.names else None


def _texts(task: Task, raw: Path, listed: pd.DataFrame, name: str) -> list[str]:
    known = set(listed["id"])
    texts: dict[str, str] = {}
    with Progress(f"reading {name}", None) as progress:
        for group in sample_file.groups(raw):
            texts |= {
                sample.id: task.content(sample.values).decode("utf-8", "replace")
                for sample in group
                if sample.id in known
            }
            progress.advance(len(group))
    return [texts[identity] for identity in listed["id"]]


def numbers_of(values: pd.Series) -> tuple[Any, list[str]]:
    """Numbers (N,) of the distinct values of a column, and the values in order."""
    numbers, names = pd.factorize(values, sort=True)
    return np.asarray(numbers, np.int64), [str(name) for name in names]
