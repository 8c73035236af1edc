"""Assign samples to splits."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import SplitSpec
from components.contracts.dataset_layout import SplitRows
from components.core.errors import UsageError

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
OPEN = 255  # the source gives no split
UNUSED = 254  # after the last row of a split by time


def key(content: bytes, seed: int) -> int:
    """A sample's sort key in the draw, 64 bits, from the seed and the content alone. Equal content has equal keys."""
    return int.from_bytes(hashlib.sha256(f"{seed}:".encode() + content).digest()[:8], "big")


def assign(
    keys: NDArray[np.uint64], strata: NDArray[np.uint32], source_splits: NDArray[np.uint8], spec: SplitSpec
) -> NDArray[np.uint8]:
    """The split of each sample (N,), 0 train, 1 validation, 2 test.

    The splits of the source are kept. A missing split is drawn from the other samples, within each stratum, in the
    order of the keys. Samples with equal content go to the same split: they have the same key and are drawn as one. A
    duplicate of a sample in a fixed split (validation or test of the source) is not drawn.

    Args:
        keys, strata: (N,) key and stratum number (of a class) of each sample.
        source_splits: (N,) the split that the source gives for each sample, or `OPEN`.
    """
    result = source_splits.copy()
    has_test, has_validation = bool((source_splits == TEST).any()), bool((source_splits == VALIDATION).any())
    # The missing splits are drawn from train.
    pool = (source_splits == OPEN) | (source_splits == TRAIN)
    if has_test and has_validation:
        result[source_splits == OPEN] = TRAIN
        return result
    fixed = np.unique(keys[~pool])
    duplicates = pool & np.isin(keys, fixed)  # of samples in a fixed split: these are not drawn
    candidates = np.flatnonzero(pool & ~duplicates)
    result[pool] = TRAIN
    order = candidates[np.argsort(keys[candidates], kind="stable")]
    unique, first = np.unique(keys[order], return_index=True)
    counts = np.diff(np.append(first, len(order)))
    stratum = np.minimum.reduceat(strata[order], first) if len(order) else strata[:0]  # lower of two strata
    group_splits = np.full(len(unique), TRAIN, np.uint8)
    for number in np.unique(stratum):
        groups = np.flatnonzero(stratum == number)
        total = int(counts[groups].sum())
        before = np.cumsum(counts[groups]) - counts[groups]
        test = 0 if has_test else max(1, round(total * spec.test))
        validation = 0 if has_validation else max(1, round((total - test) * spec.validation))
        group_splits[groups[before < test + validation]] = VALIDATION
        group_splits[groups[before < test]] = TEST
    result[order] = np.repeat(group_splits, counts)
    return result


def by_time(count: int, rows: SplitRows) -> NDArray[np.uint8]:
    """The split of each row of a table in time order (N,); `UNUSED` after the last split.

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
    return result
