"""A part of the train split: `train.samples` of a pipeline. A smaller part is contained in a larger one.

Legend: N samples of the split, n samples of the part.

windows     samples that share rows with their neighbours (forecasts): the most recent ones, without a gap.
groups      whole groups (a speaker, a patient): the first groups of a seeded order.
otherwise   the first samples of a seeded order.

The order is stratified if each sample has one class: the sample of rank r among the k samples of its class (in a random
order) has the place (r + u) / k with u uniform on [0, 1), so the first n samples have every class in proportion, up to
one sample. A group counts as a sample of its most frequent class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import CorruptArtifactError, UsageError
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit
from components.training.batches import derive_seed
from components.training.messages import log
from components.training.prepared import Prepared
from components.training.sampling import single_classes

CLUSTERS = "train-clusters.npy"
TEST_CLUSTERS = "clusters.npy"


class SplitPart(StoredSplit):
    """Some samples of a split, in the order of their rows.

    Args:
        rows: (n,) increasing.
    """

    def __init__(self, split: StoredSplit, rows: NDArray[np.int64]) -> None:
        self.specs = split.specs
        self._split, self._rows = split, rows

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, row: int) -> Arrays:
        """The arrays of one sample, not padded."""
        return self._split.sample(int(self._rows[row]))

    def all(self, name: str) -> NDArray[Any]:
        """A fixed array of the samples (n, *shape); of a ragged array, the values of the samples one after another."""
        values = self._split.all(name)
        spec = next(spec for spec in self.specs if name == spec.name)
        if spec.layout != "ragged":
            return values[self._rows]
        ends = np.cumsum(self._split.lengths(name))
        begins = ends - self._split.lengths(name)
        return np.concatenate([values[begins[row] : ends[row]] for row in self._rows])

    def lengths(self, name: str) -> NDArray[np.int64]:
        """The lengths of a ragged array, (n,)."""
        return self._split.lengths(name)[self._rows]

    def batch(self, index: NDArray[np.int64], names: Sequence[str] | None = None) -> Arrays:
        """Samples by their numbers in the part; as of `StoredSplit.batch`."""
        return self._split.batch(self._rows[index], names)


def limit(prepared: Prepared, samples: int | None, seed: int) -> Prepared:
    """The dataset with `samples` of its train split, or fewer where groups stay whole; None: all of them. Logs it.

    Raises:
        UsageError: the split has fewer samples, or its first group has more.
        CorruptArtifactError: the groups of the split are missing.
    """
    if samples is None:
        return prepared
    whole = prepared.train
    if samples > len(whole):
        raise UsageError(
            "the train split has fewer samples than the pipeline asks for",
            where="train.samples",
            got=samples,
            expected=f"at most {len(whole):,}",
            next_step="leave train.samples out to train on all of them",
        )
    if any(spec.layout == "window" for spec in whole.specs):
        rows, how = np.arange(len(whole) - samples, len(whole)), "the most recent"
    else:
        groups = _groups(prepared)
        chosen = chosen_rows(len(whole), samples, seed, single_classes(whole), groups)
        rows, how = chosen, "a seeded choice of whole groups" if groups is not None else "a seeded choice"
        if len(rows) == 0:
            raise UsageError(
                "the first group has more samples than the pipeline asks for; groups stay whole",
                where="train.samples",
                got=samples,
                next_step="ask for more samples",
            )
    log(f"training on {len(rows):,} of {len(whole):,} samples ({how}); train.samples is {samples:,}")
    return prepared._replace(train=SplitPart(whole, rows))


def chosen_rows(
    count: int,
    samples: int,
    seed: int,
    classes: NDArray[np.int64] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The rows of the first samples of the seeded order, or of the first whole groups, (n,) increasing.

    Args:
        count: N.
        samples: the largest n; without groups it is n.
        classes: (N,) the class of each sample, for stratification.
        groups: (N,) the group of each sample.
    """
    if groups is None:
        order = _stratified_order(classes if classes is not None else np.zeros(count, np.int64), seed)
        return np.sort(order[:samples])
    _, units, sizes = np.unique(groups, return_inverse=True, return_counts=True)  # (N,), (groups,)
    order = _stratified_order(_class_of_groups(units, len(sizes), classes), seed)
    taken = order[np.cumsum(sizes[order]) <= samples]
    return np.flatnonzero(np.isin(units, taken))


def _stratified_order(classes: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(derive_seed(seed, "samples"))
    shuffled = rng.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    _, counts = np.unique(classes, return_counts=True)
    ranks = np.concatenate([np.arange(number) for number in counts]) if len(counts) else np.empty(0)
    places = (ranks + rng.random(len(classes))) / np.repeat(counts, counts)
    return by_class[np.argsort(places, kind="stable")]


def _class_of_groups(units: NDArray[np.int64], groups: int, classes: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The most frequent class of each group, (groups,)."""
    if classes is None:
        return np.zeros(groups, np.int64)
    _, numbers = np.unique(classes, return_inverse=True)
    pairs, counts = np.unique(np.stack([units, numbers]), axis=1, return_counts=True)
    frequent_last = np.argsort(counts, kind="stable")
    most = np.zeros(groups, np.int64)
    most[pairs[0][frequent_last]] = pairs[1][frequent_last]
    return most


def _groups(prepared: Prepared) -> NDArray[np.int64] | None:
    path = prepared.folder / CLUSTERS
    if path.is_file():
        groups: NDArray[np.int64] = np.load(path, allow_pickle=False)
        return groups
    if (prepared.folder / TEST_CLUSTERS).is_file():
        raise CorruptArtifactError(
            "the prepared data has no groups of the train split: it was prepared by an earlier version",
            where=str(path),
            next_step="prepare the data again: `modelyard run PIPELINE --force prepare`",
        )
    return None
