"""The decoded columns of a partition in a file, in NumPy's format .npz without compression: a column is read alone.

Legend: n rows, F columns of numbers, G columns of categories.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.ingestion.row_columns import Categories, RowColumns

_NAMES = "names"
# NumPy parses headers by `ast.literal_eval`, which fails in two threads at once (Python 3.11, gh-106905).
_one_reader = threading.Lock()


class PartitionColumns(NamedTuple):
    """The rows of a partition.

    Args:
        keys: (n,) of `splits.key`.
        source_splits: (n,) the split that the source gives, or `splits.OPEN`.
        labels: (n,) numbers of the partition's own label names; None without labels.
        targets: (n,); None without.
        groups: (n,) of `splits.key`; None where groups do not count.
    """

    rows: RowColumns
    keys: NDArray[np.uint64]
    source_splits: NDArray[np.uint8]
    labels: Categories | None
    targets: NDArray[np.float64] | None
    groups: NDArray[np.uint64] | None

    def save(self, path: Path) -> None:
        """Write the file; the same columns may be written again, also at the same time."""
        categories = list(self.rows.categories.values())
        names = [[*one.names] for one in categories]
        arrays: dict[str, NDArray[Any]] = {
            **{f"number{place}": values for place, values in enumerate(self.rows.numbers.values())},
            **{f"category{place}": one.numbers for place, one in enumerate(categories)},
            "keys": self.keys,
            "source_splits": self.source_splits,
            _NAMES: np.frombuffer(json.dumps(names).encode(), np.uint8),
        }
        labels = None if self.labels is None else self.labels.numbers
        optional = {"labels": labels, "targets": self.targets, "groups": self.groups}
        save(path, arrays | {name: values for name, values in optional.items() if values is not None})


def save(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays into a file, which is there as a whole or not at all."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with fresh.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]  # the stubs take the names for options
    fresh.replace(path)


@contextmanager
def opened(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of a file; one thread of the process reads at a time."""
    with _one_reader, np.load(path, allow_pickle=False) as arrays:
        yield arrays


class ColumnFile:
    """Reads the file of a partition."""

    def __init__(self, path: Path, numbers: Sequence[str], categories: Sequence[str]) -> None:
        self._path, self._numbers, self._categories = path, list(numbers), list(categories)

    def array(self, name: str) -> NDArray[Any]:
        """An array by its name: keys, source_splits, labels, targets, groups."""
        with opened(self._path) as arrays:
            found: NDArray[Any] = arrays[name]
        return found

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers (n,), NaN for null."""
        return self.array(f"number{self._numbers.index(name)}")

    def rows(self, rows: int) -> RowColumns:
        """All columns."""
        with opened(self._path) as arrays:
            names = json.loads(arrays[_NAMES].tobytes())
            numbers = {name: arrays[f"number{place}"] for place, name in enumerate(self._numbers)}
            categories = {
                name: Categories(arrays[f"category{place}"], names[place])
                for place, name in enumerate(self._categories)
            }
        return RowColumns(rows, numbers, categories)

    def categories(self) -> dict[str, Categories]:
        """The columns of categories."""
        with opened(self._path) as arrays:
            names = json.loads(arrays[_NAMES].tobytes())
            return {
                name: Categories(arrays[f"category{place}"], names[place])
                for place, name in enumerate(self._categories)
            }
