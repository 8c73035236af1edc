"""Epochs in which every class has as many samples: `train.sampling: balanced`.

Legend: N samples of the train split, K classes that occur in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.preprocessing.stored import StoredSplit
from components.training.batches import derive_seed


def balanced_order(classes: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """The samples of an epoch in their order, (N,): N / K of each class, which differ by at most one.

    Of a large class, an epoch has a random part; of a small one, every sample several times (over-sampling), no sample
    once more than another twice. A function of the seed and the epoch alone, so that training resumes at any batch.

    Args:
        classes: (N,) the class of each sample.
    """
    rng = np.random.default_rng(derive_seed(seed, "balanced", epoch))
    present = np.unique(classes)
    quotas = np.full(len(present), len(classes) // len(present))
    quotas[rng.permutation(len(present))[: len(classes) % len(present)]] += 1
    parts: list[NDArray[np.int64]] = []
    for number, quota in zip(present, quotas, strict=True):
        members = np.flatnonzero(classes == number)
        rounds = [rng.permutation(members) for _ in range(-(-int(quota) // len(members)))]
        parts += [np.concatenate(rounds)[:quota]] if rounds else []
    return rng.permutation(np.concatenate(parts)).astype(np.int64, copy=False)


def classes_to_balance(spec: TrainSpec, split: StoredSplit) -> NDArray[np.int64] | None:
    """The class of each training sample, (N,), if the spec asks for balanced epochs.

    Raises:
        UsageError: the samples have no single class each.
    """
    if spec.sampling != "balanced":
        return None
    classes = single_classes(split)
    if classes is None:
        raise UsageError(
            "epochs can be balanced only over samples of one class each",
            where="train.sampling",
            got=spec.sampling,
            expected="shuffled",
            next_step="leave it out of the pipeline",
        )
    return classes


def single_classes(split: StoredSplit) -> NDArray[np.int64] | None:
    """The class of each sample; None if a sample has several, or a value."""
    one_each = any(
        spec.name == "labels" and spec.layout == "fixed" and spec.type.startswith("int") and spec.shape == ()
        for spec in split.specs
    )
    return np.asarray(split.all("labels"), np.int64) if one_each else None
