"""Which split each sample is in, and what is said of it: the index of all samples in memory, or ranges of keys.

Legend: N samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import DatasetSpec
from components.preparation import golden, key_draw, split_summary, splits
from components.preparation.decoding import Index
from components.preparation.key_buckets import KeyBuckets
from components.preparation.near_duplicates import NearDuplicates
from components.preparation.split_summary import SplitCounts


class SplitDraw(Protocol):
    """The draw of one dataset."""

    @property
    def classes(self) -> list[str]:
        """The classes that occur."""

    @property
    def groups(self) -> NDArray[np.uint64] | None:
        """(N,) equal for samples of a group; None without groups."""

    @property
    def near(self) -> NearDuplicates | None:
        """Near-duplicates; None where they are not looked for."""

    def assign(self) -> NDArray[np.uint8]:
        """The split of each sample (N,)."""

    def remarks(self, assigned: NDArray[np.uint8]) -> list[str]:
        """What is not as asked, or is to be known, one sentence each."""

    def rare(self) -> str:
        """The classes of few samples; "" if there are none."""

    def golden_rows(self, assigned: NDArray[np.uint8]) -> list[int]:
        """The rows of the golden examples."""


class IndexDraw:
    """The draw of samples whose index is in memory."""

    def __init__(self, index: Index, spec: DatasetSpec) -> None:
        self.index, self._spec = index, spec

    @property
    def classes(self) -> list[str]:
        """As `SplitDraw.classes`."""
        return self.index.classes

    @property
    def groups(self) -> NDArray[np.uint64] | None:
        """As `SplitDraw.groups`."""
        return self.index.draw.groups

    @property
    def near(self) -> NearDuplicates | None:
        """As `SplitDraw.near`."""
        return self.index.near

    def assign(self) -> NDArray[np.uint8]:
        """As `SplitDraw.assign`."""
        split, index = self._spec.split, self.index
        if split.rows is not None:
            return splits.by_time(len(index.draw.keys), split.rows, split.purge)
        return splits.assign(index.draw, split) if index.times is None else splits.newest_last(index.times, split)

    def remarks(self, assigned: NDArray[np.uint8]) -> list[str]:
        """As `SplitDraw.remarks`."""
        if self._spec.split.rows is not None:
            return []
        if self.index.times is not None:
            return [_by_time(self.index, assigned, self._spec)]
        return split_summary.lines(self.index.draw, self.index.strata, assigned, self._spec.split)

    def rare(self) -> str:
        """As `SplitDraw.rare`."""
        return split_summary.rare(split_summary.class_counts(self.index.draw.classes), self.index.strata)

    def golden_rows(self, assigned: NDArray[np.uint8]) -> list[int]:
        """As `SplitDraw.golden_rows`."""
        return golden.rows(assigned, self.index.draw.classes)


class KeyDraw:
    """The draw of samples of one class, or none, without groups; a byte of each sample is mapped, the rest is in files.

    Args:
        assigned: (N,) is written.
        source_splits: number of samples of each split that the source gives.
        names: names of the classes, sorted.
        class_numbers: the classes of all samples in parts, -1 of a sample without one; read more than once.
    """

    groups: None = None
    near: None = None

    def __init__(
        self, buckets: KeyBuckets, assigned: NDArray[np.uint8], source_splits: Counter[int], names: list[str],
        class_numbers: Callable[[], Iterator[NDArray[np.int32]]], spec: DatasetSpec,
    ) -> None:  # fmt: skip
        self.classes = names
        self._buckets, self._assigned, self._class_numbers = buckets, assigned, class_numbers
        self._source_splits, self._spec = source_splits, spec
        self._class_counts: Counter[int] = Counter()
        for numbers in class_numbers():
            found, counts = np.unique(numbers[numbers >= 0], return_counts=True)
            self._class_counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def assign(self) -> NDArray[np.uint8]:
        """As `SplitDraw.assign`."""
        key_draw.assign(self._buckets, self._source_splits, len(self.classes), self._spec.split, self._assigned)
        return self._assigned

    def remarks(self, assigned: NDArray[np.uint8]) -> list[str]:
        """As `SplitDraw.remarks`."""
        counts = splits.counts(assigned).tolist()
        given = [number for number, count in self._source_splits.items() if count]
        drawn = {
            number: 0 if number in given and number != splits.TRAIN else counts[number]
            for number in range(len(splits.SPLITS))
        }
        found = SplitCounts(given, counts[splits.UNUSED], 0, drawn, self._class_counts, has_groups=False)
        return split_summary.lines_of(found, self.classes, self._spec.split)

    def rare(self) -> str:
        """As `SplitDraw.rare`."""
        return split_summary.rare(self._class_counts, self.classes)

    def golden_rows(self, assigned: NDArray[np.uint8]) -> list[int]:
        """As `SplitDraw.golden_rows`."""
        queues: dict[int, list[int]] = {}
        start = 0
        for numbers in self._class_numbers():
            rows = np.flatnonzero(assigned[start : start + len(numbers)] == splits.TEST)
            for number in np.unique(numbers[rows]).tolist():
                queue = queues.setdefault(number, [])
                queue += (start + rows[numbers[rows] == number][: golden.LIMIT - len(queue)]).tolist()
            start += len(numbers)
        return golden.in_turn([queues[number] for number in sorted(queues)])


def _by_time(index: Index, assigned: NDArray[np.uint8], spec: DatasetSpec) -> str:
    counts = ", ".join(f"{name} {int((assigned == number).sum()):,}" for number, name in enumerate(splits.SPLITS))
    purged = int((assigned == splits.UNUSED).sum())
    left_out = f"; {purged:,} samples before the borders are in no split (purge: {spec.split.purge})" if purged else ""
    given = int((index.draw.source_splits != splits.OPEN).sum())
    ignored = f"; the source's splits of {given:,} samples do not count" if given else ""
    return f"splits by time: {counts}{left_out}{ignored}"
