"""Golden examples: a few raw samples of the test split in the model package, in the form of a client's request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.identity import manifest
from components.ingestion import sample_file
from components.preparation import splits
from components.tasks.task import Example, Task

LIMIT = 16


def write(table: Path, folder: Path, task: Task, rows: Collection[int]) -> None:
    """Write these samples of the test split and `index.json`, in the order of the raw rows."""
    _write(folder, ((sample.id, task.example(sample.values)) for _, sample in sample_file.pick(table, rows)))


def rows(assigned: NDArray[np.uint8], classes: Sequence[Sequence[int]]) -> list[int]:
    """Up to `LIMIT` rows of the test split, sorted.

    Args:
        assigned: (N,) of each raw row: its split's number.
        classes: of each raw row: the numbers of its classes.
    """
    names = {found: number for number, found in enumerate(sorted(set(map(tuple, classes))))}
    strata = np.array([names[tuple(found)] for found in classes], np.uint32)
    return choose(np.flatnonzero(assigned == splits.TEST), strata)


def write_windows(table: Path, folder: Path, task: Any, first: int, count: int, look_back: int, length: int) -> None:
    """Write the golden examples of a task whose samples are windows of a table; the first predicted row gives the id.

    Args:
        task: has `window_example(rows: list[Values], look_back: int) -> Example`.
        first: raw row of the beginning of the test split's first window.
        count: number of the test split's windows.
        length: rows of a window; the first `look_back` of them are the input.
    """
    starts = sorted({first + int(position) for position in np.linspace(0, count - 1, min(LIMIT, count))})
    row_numbers = {row for start in starts for row in range(start, start + length)}
    rows = dict(sample_file.pick(table, row_numbers))
    _write(
        folder,
        (
            (
                rows[start + look_back].id,
                task.window_example([rows[start + step].values for step in range(length)], look_back),
            )
            for start in starts
        ),
    )


def choose(rows: NDArray[np.intp], strata: NDArray[np.uint32]) -> list[int]:
    """Choose up to `LIMIT` rows: the first of each stratum (a set of classes), then the second of each; sorted."""
    return in_turn([rows[strata[rows] == number][:LIMIT].tolist() for number in np.unique(strata[rows])])


def in_turn(queues: Sequence[Sequence[int]]) -> list[int]:
    """Up to `LIMIT` rows: the first of each queue, then the second of each; sorted."""
    chosen: list[int] = []
    for turn in range(LIMIT):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
    return sorted(chosen[:LIMIT])


def _write(folder: Path, examples: Iterator[tuple[str, Example]]) -> None:
    folder.mkdir()
    entries: list[Mapping[str, str]] = []
    for identity, example in examples:
        name = f"{len(entries):03d}{example.suffix}"
        (folder / name).write_bytes(example.content)
        entries.append({"file": name, "id": identity, "media": example.media, "truth": example.truth})
    manifest.write_json(folder / "index.json", entries)
