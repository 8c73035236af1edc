"""Assign samples to splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import SplitSpec
from components.contracts.dataset_layout import SplitRows
from components.core.errors import UsageError
from components.preparation import connected, stratification

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
OPEN = 255  # the source gives no split
_BLOCK = 1 << 20  # samples that are counted at once
UNUSED = 254  # in no split: after the last row of a split by time, or equal to a sample of validation or test


def key(content: bytes, seed: int) -> int:
    """A sample's sort key in the draw, 64 bits, from the seed and the content alone. Equal content has equal keys."""
    return int.from_bytes(hashlib.sha256(f"{seed}:".encode() + content).digest()[:8], "big")


class Draw(NamedTuple):
    """What the draw knows of N samples.

    Args:
        keys: (N,) of `key`; samples with equal keys go to the same split.
        classes: for each sample, the numbers of its classes, from 0 on.
        source_splits: (N,) the split that the source gives for each sample, or `OPEN`.
        groups: (N,) of `key`: samples of a group go to the same split; None: there are no groups.
        near: (N,) equal for near-duplicates and for copies: drawn samples go to the same split; None: near-duplicates
            do not count.
    """

    keys: NDArray[np.uint64]
    classes: Sequence[Sequence[int]]
    source_splits: NDArray[np.uint8]
    groups: NDArray[np.uint64] | None = None
    near: NDArray[np.uint64] | None = None

    def units(self) -> NDArray[np.uint64]:
        """(N,) equal for samples that are drawn as one."""
        if self.groups is None or self.near is None:
            return self.keys if self.groups is None and self.near is None else _first(self.near, self.groups)
        order = np.argsort(self.near, kind="stable")
        same = np.flatnonzero(self.near[order][1:] == self.near[order][:-1])
        return connected.joined(self.groups, np.stack([order[same], order[same + 1]], axis=1))


def _first(*arrays: NDArray[np.uint64] | None) -> NDArray[np.uint64]:
    return next(array for array in arrays if array is not None)


def assign(draw: Draw, spec: SplitSpec) -> NDArray[np.uint8]:
    """The split of each sample (N,), 0 train, 1 validation, 2 test, or `UNUSED`.

    The splits of the source are kept. A missing split is drawn from the other samples, in the order of the keys, so
    that its share is as asked, in total and for each class (stratification.py). Samples with equal content, or of a
    group, are drawn as one, and near-duplicates if `draw.near` has them. A duplicate of a sample in a fixed split
    (validation or test of the source), and a sample of its group, would be known from training: they are in no split.
    So are samples of validation that are in test, and near-duplicates where `spec.near_duplicates` is leave_out.
    """
    source_splits = draw.source_splits
    result = source_splits.copy()
    has_test, has_validation = bool((source_splits == TEST).any()), bool((source_splits == VALIDATION).any())
    # The missing splits are drawn from train.
    pool = (source_splits == OPEN) | (source_splits == TRAIN)
    keys = draw.units()
    known = pool & np.isin(draw.keys, draw.keys[~pool])
    known |= (source_splits == VALIDATION) & np.isin(draw.keys, draw.keys[source_splits == TEST])
    if draw.groups is not None:
        known |= pool & np.isin(draw.groups, draw.groups[~pool])
    if draw.near is not None and spec.near_duplicates == "leave_out":
        known |= pool & np.isin(draw.near, draw.near[~pool])
        known |= (source_splits == VALIDATION) & np.isin(draw.near, draw.near[source_splits == TEST])
    result[pool] = TRAIN
    result[known] = UNUSED
    candidates = np.flatnonzero(pool & ~known)
    if (has_test and has_validation) or not len(candidates):
        return result
    order = candidates[np.argsort(keys[candidates], kind="stable")]
    _, first = np.unique(keys[order], return_index=True)
    counts = np.diff(np.append(first, len(order)))
    test_size = 0.0 if has_test else len(order) * spec.test
    validation_size = 0.0 if has_validation else (len(order) - test_size) * spec.validation
    classes = [draw.classes[row] for row in order.tolist()]
    if draw.groups is None and all(len(names) <= 1 for names in classes):
        numbers = np.array([names[0] if names else -1 for names in classes])
        unit_splits = _by_class(np.minimum.reduceat(numbers, first), counts, test_size, validation_size)
    else:
        units = [
            dict(Counter(name for names in classes[begin : begin + count] for name in names))
            for begin, count in zip(first.tolist(), counts.tolist(), strict=True)
        ]
        sizes = (len(order) - test_size - validation_size, validation_size, test_size)
        unit_splits = stratification.iterative(units, counts, sizes)
    result[order] = np.repeat(unit_splits, counts)
    return result


def _by_class(
    classes: NDArray[np.int64], counts: NDArray[np.int64], test_size: float, validation_size: float
) -> NDArray[np.uint8]:
    """The split of each unit (U,), in the order of their keys.

    Args:
        classes: (U,) the class of each unit; of a unit with several, the lowest.
        counts: (U,) number of samples of each unit.
    """
    names, numbers = np.unique(classes, return_inverse=True)
    totals = np.bincount(numbers, weights=counts, minlength=len(names)).astype(np.int64)  # (K,)
    units = np.bincount(numbers, minlength=len(names))
    test, validation = class_quotas(totals, units, test_size, validation_size)
    result = np.full(len(classes), TRAIN, np.uint8)
    # Units of more samples than a split wants come last in their class: they are learnt.
    limits = [stratification.largest_unit(counts, size) for size in (test_size, validation_size) if size]
    by_class = np.lexsort((counts > min(limits, default=np.inf), numbers))
    for number, members in enumerate(np.split(by_class, np.cumsum(units)[:-1])):
        to_test, to_validation = _first_units(counts[members], int(test[number]), int(validation[number]))
        result[members[:to_test]] = TEST
        result[members[to_test : to_test + to_validation]] = VALIDATION
    return result


def class_quotas(
    totals: NDArray[np.int64], units: NDArray[np.int64], test_size: float, validation_size: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The number of samples of each class (K,) that test and validation want.

    Args:
        totals, units: (K,) number of samples and of units of each class.
    """
    drawable = np.where(units >= stratification.EVERYWHERE, totals, np.minimum(totals, units))
    test = stratification.quotas(drawable, test_size) if test_size else np.zeros_like(totals)
    validation = stratification.quotas(drawable, validation_size) if validation_size else np.zeros_like(totals)
    return test, validation


def counts(assigned: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Number of samples of each split, of `UNUSED` and the like by their numbers, (256,)."""
    result = np.zeros(256, np.int64)
    for start in range(0, len(assigned), _BLOCK):
        result += np.bincount(assigned[start : start + _BLOCK], minlength=256)
    return result


def _first_units(counts: NDArray[np.int64], test: int, validation: int) -> tuple[int, int]:
    """How many units of a class go to test and to validation; one at least stays for every other split."""
    before = np.cumsum(counts) - counts
    to_test = min(int((before < test).sum()), max(0, len(counts) - 1 - (validation > 0)))
    rest = before[to_test:] - (before[to_test] if to_test < len(counts) else 0)
    to_validation = min(int((rest < validation).sum()), max(0, len(counts) - 1 - to_test))
    return to_test, to_validation


def by_time(count: int, rows: SplitRows, purge: int = 0) -> NDArray[np.uint8]:
    """The split of each row of a table in time order (N,); `UNUSED` after the last split, and in the purged rows.

    Args:
        purge: number of rows at the end of train and of validation that are in no split.

    Raises:
        UsageError: the table has fewer rows than the splits need.
    """
    sizes = (rows.train, rows.validation, rows.test)
    if sum(sizes) > count:
        raise UsageError(
            "the table has fewer rows than the splits need", where="split.rows", got=count, expected=sum(sizes)
        )
    result = np.full(count, UNUSED, np.uint8)
    result[: sum(sizes)] = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    for end in np.cumsum(sizes)[:-1].tolist():
        result[end - purge : end] = UNUSED
    return result


def newest_last(moments: NDArray[np.float64], spec: SplitSpec) -> NDArray[np.uint8]:
    """The split of each sample (N,) by its time: the newest share is test, the newest of the others validation.

    Samples of equal times are in one split, the later one where a border would cut them. `spec.purge` samples before
    validation and before test are `UNUSED`.

    Args:
        moments: (N,) seconds.
    """
    order = np.argsort(moments, kind="stable")
    ordered, count = moments[order], len(moments)
    test_begin = int(np.searchsorted(ordered, ordered[min(count - 1, round(count * (1 - spec.test)))]))
    validation_begin = int(np.searchsorted(ordered, ordered[min(count - 1, round(test_begin * (1 - spec.validation)))]))
    result = np.empty(count, np.uint8)
    result[order[:validation_begin]] = TRAIN
    result[order[validation_begin:test_begin]] = VALIDATION
    result[order[test_begin:]] = TEST
    for begin in (validation_begin, test_begin):
        result[order[max(0, begin - spec.purge) : begin]] = UNUSED
    return result
