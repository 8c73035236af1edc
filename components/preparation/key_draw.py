"""The draw of `splits.assign` for samples of one class, or none, without groups: a range of keys in memory at a time.

A unit, samples of equal keys, is in one range, and a class's units go to test, then to validation, then to train in the
order of their keys. So counts of all ranges give the quotas, and a second look at each range the splits.

Legend: N samples, n samples of a range, U units of a range, K classes.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import SplitSpec
from components.preparation import splits
from components.preparation.key_buckets import KeyBuckets, Samples
from components.preparation.splits import OPEN, TEST, TRAIN, UNUSED, VALIDATION

Counts = NDArray[np.int64]


class _Units(NamedTuple):
    """Samples of equal keys, in the order of their keys: classes (U,), number of samples (U,)."""

    classes: Counts
    counts: Counts


def assign(
    buckets: KeyBuckets, source_splits: Counter[int], classes: int, spec: SplitSpec, assigned: NDArray[np.uint8]
) -> None:
    """Write the split of each sample into `assigned` (N,): the splits of `splits.assign`, bit for bit.

    Args:
        buckets: of all samples; their content changes.
        source_splits: number of samples of each split that the source gives.
        classes: their number K; the class of a sample without one is -1.
    """
    totals, units = np.zeros(classes + 1, np.int64), np.zeros(classes + 1, np.int64)  # by class; the last of none
    sizes: Counter[int] = Counter()
    for bucket, samples in buckets.read():
        candidates = _candidates(samples, assigned)
        found = _units(candidates)
        np.add.at(totals, found.classes, found.counts)
        np.add.at(units, found.classes, 1)
        sizes.update(dict(zip(*(part.tolist() for part in np.unique(found.counts, return_counts=True)), strict=True)))
        buckets.replace(bucket, candidates)
    count = int(totals.sum())
    has_test, has_validation = bool(source_splits[TEST]), bool(source_splits[VALIDATION])
    if (has_test and has_validation) or not count:
        return
    test_size = 0.0 if has_test else count * spec.test
    validation_size = 0.0 if has_validation else (count - test_size) * spec.validation
    limits = [_largest_unit(sizes, size) for size in (test_size, validation_size) if size]
    limit = min(limits, default=np.inf)
    draw = _ClassDraw(totals, units, test_size, validation_size)
    for is_large in (False, True) if max(sizes) > limit else (False,):
        for _, candidates in buckets.read():
            found = _units(candidates)
            unit_splits = draw.next(found, (found.counts > limit) == is_large)
            rows = np.repeat(unit_splits, found.counts)
            mine = rows != OPEN
            assigned[candidates["row"][mine]] = rows[mine]


def _candidates(samples: Samples, assigned: NDArray[np.uint8]) -> Samples:
    """The samples of a range that are drawn, by key; the splits of all others are written, and train for these."""
    samples = samples.take(np.argsort(samples["key"], kind="stable"))  # an index takes ten times as long
    keys, given = samples["key"], samples["split"]
    pool = (given == OPEN) | (given == TRAIN)
    known = np.zeros(len(samples), bool)
    if not pool.all():
        known |= pool & np.isin(keys, keys[~pool])
        known |= (given == VALIDATION) & np.isin(keys, keys[given == TEST])
    result = given.copy()
    result[pool] = TRAIN
    result[known] = UNUSED
    assigned[samples["row"]] = result
    candidates: Samples = samples[pool & ~known]
    return candidates


def _units(candidates: Samples) -> _Units:
    _, first = np.unique(candidates["key"], return_index=True)
    counts = np.diff(np.append(first, len(candidates)))
    classes = np.minimum.reduceat(candidates["class"], first) if len(first) else np.empty(0)
    return _Units(classes.astype(np.int64), counts.astype(np.int64))


def _largest_unit(sizes: Counter[int], size: float) -> float:
    """`stratification.largest_unit` of the units of these sizes."""
    limit = max(1.0, size)
    return limit if sum(one * count for one, count in sizes.items() if one <= limit) >= size else float("inf")


class _ClassDraw:
    """Gives units to test, validation or train, class by class, as they come in the order of their keys."""

    def __init__(self, totals: Counts, units: Counts, test_size: float, validation_size: float) -> None:
        order = np.append(len(totals) - 1, np.arange(len(totals) - 1))  # samples without a class come first
        order = order[units[order] > 0]
        self._test, self._validation = np.zeros_like(totals), np.zeros_like(totals)
        self._test[order], self._validation[order] = splits.class_quotas(
            totals[order], units[order], test_size, validation_size
        )
        self._units = units
        self._seen, self._before = np.zeros_like(totals), np.zeros_like(totals)  # units and samples of each class
        # The first unit of each class that is not in test, and the samples before it; -1: not there yet.
        self._first, self._first_before = np.full_like(totals, -1), np.zeros_like(totals)

    def next(self, units: _Units, chosen: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The split of the next units (U,); `OPEN` of those that are not chosen."""
        result = np.full(len(units.counts), OPEN, np.uint8)
        places = np.flatnonzero(chosen)
        by_class = places[np.argsort(units.classes[places], kind="stable")]
        names, first = np.unique(units.classes[by_class], return_index=True)
        for name, begin, end in zip(names.tolist(), first, [*first, len(by_class)][1:], strict=True):
            members = by_class[begin:end]
            result[members] = self._of_class(name, units.counts[members])
        return result

    def _of_class(self, name: int, counts: Counts) -> NDArray[np.uint8]:
        total, test, validation = (int(of[name]) for of in (self._units, self._test, self._validation))
        numbers = self._seen[name] + np.arange(len(counts))
        before = self._before[name] + np.cumsum(counts) - counts
        self._seen[name] += len(counts)
        self._before[name] += counts.sum()
        result = np.full(len(counts), TRAIN, np.uint8)
        # One unit at least stays for every other split.
        in_test = (before < test) & (numbers < max(0, total - 1 - (validation > 0)))
        result[in_test] = TEST
        if in_test.all():
            return result
        if self._first[name] < 0:
            begin = int(np.argmin(in_test))
            self._first[name], self._first_before[name] = numbers[begin], before[begin]
        first = int(self._first[name])
        rest = before - self._first_before[name]
        result[~in_test & (rest < validation) & (numbers - first < max(0, total - first - 1))] = VALIDATION
        return result
