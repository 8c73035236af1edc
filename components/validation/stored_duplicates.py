"""`duplicates.columns` of a stored table: numbers for each repeated content, none for the others.

Legend: n rows of a batch, R contents that occur more than once (`Repeated`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from components.validation.repeated_values import KEYS, Repeated, hashes
from components.validation.stored_table import StoredTable


class StoredDuplicates:
    """What equal rows have in common.

    Args:
        table: with columns `split`, `label` and the next.
        by: column that is equal for equal samples.
    """

    def __init__(self, table: StoredTable, by: str) -> None:
        self._table, self._by = table, by
        for number, key in enumerate(KEYS):  # until no two contents have one hash
            if self._read(key, KEYS[number - 1]):
                return
        raise AssertionError("two contents have equal hashes by every key")

    def _read(self, key: str, other_key: str) -> bool:
        """Count the rows of each repeated hash; returns whether each is of one content, by another hash."""
        columns = (batch[self._by] for batch in self._table.batches([self._by]))
        self._repeated = Repeated.find(columns, len(self._table), key)
        size = len(self._repeated.sorted_hashes)
        self._counts: dict[str | None, NDArray[np.int64]] = {}  # of each split, (R,)
        labels: dict[str, int] = {}
        of_label, of_content = _Range(size, np.int64), _Range(size, np.uint64)
        for batch in self._table.batches([self._by, "split", "label"]) if size else ():
            places = self._repeated.places(batch[self._by])
            chosen = batch[places >= 0]
            places = places[places >= 0]
            of_content.add(places, hashes(chosen[self._by], other_key))
            for split, rows in _groups(chosen["split"]):
                counts = self._counts.setdefault(split, np.zeros(size, np.int64))
                np.add.at(counts, places[rows], 1)
            numbers, names = pd.factorize(chosen["label"])
            known = np.array([labels.setdefault(name, len(labels)) for name in names], np.int64)
            has_label = numbers >= 0
            of_label.add(places[has_label], known[numbers[has_label]])
        named = [counts > 0 for split, counts in self._counts.items() if split is not None]
        self._copies = np.zeros(size, np.int64)
        for counts in self._counts.values():
            self._copies += counts
        self._in_splits = np.sum(named, axis=0) > 1 if named else np.zeros(size, bool)
        self._conflict = of_label.several()
        return not of_content.several().any()

    def columns(self, *, copies_in_split: bool = False) -> Iterator[pa.Table]:
        """The columns `copies`, `in_other_split`, `label_conflict`, by batch.

        Args:
            copies_in_split: whether there is a column of the number of equal rows of the row's split, too.
        """
        for batch in self._table.batches([self._by, "split"]):
            places = self._repeated.places(batch[self._by])
            yield pa.table({name: pa.array(values) for name, values in self._of(places, batch, copies_in_split)})

    def _of(
        self, places: NDArray[np.int64], batch: pd.DataFrame, copies_in_split: bool
    ) -> Iterator[tuple[str, NDArray[np.generic]]]:
        rows = np.flatnonzero(places >= 0)
        chosen = places[rows]
        copies = np.ones(len(places), np.int64)
        copies[rows] = self._copies[chosen]
        yield "copies", copies
        for name, values in (("in_other_split", self._in_splits), ("label_conflict", self._conflict)):
            found = np.zeros(len(places), bool)
            found[rows] = values[chosen]
            yield name, found
        if copies_in_split:
            own = np.ones(len(places), np.int64)
            for split, of_split in _groups(batch["split"].iloc[rows]):
                own[rows[of_split]] = self._counts[split][chosen[of_split]]
            yield "copies_in_split", own


class _Range:
    """The smallest and the largest number of each content, (R,)."""

    def __init__(self, size: int, kind: type[np.int64] | type[np.uint64]) -> None:
        self._smallest = np.full(size, np.iinfo(kind).max, kind)
        self._largest = np.full(size, np.iinfo(kind).min, kind)

    def add(self, places: NDArray[np.int64], numbers: NDArray[np.generic]) -> None:
        """Numbers (n,) of contents at places (n,)."""
        np.minimum.at(self._smallest, places, numbers)
        np.maximum.at(self._largest, places, numbers)

    def several(self) -> NDArray[np.bool_]:
        """Whether a content has several numbers, (R,)."""
        found: NDArray[np.bool_] = self._smallest < self._largest
        return found


def _groups(splits: pd.Series) -> Iterator[tuple[str | None, NDArray[np.int64]]]:
    """The splits of rows, and the places of the rows of each; None of those without a split."""
    numbers, names = pd.factorize(splits)
    for number in np.unique(numbers).tolist():
        yield (None if number < 0 else str(names[number])), np.flatnonzero(numbers == number)
