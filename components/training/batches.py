"""The samples of each batch, as a function of the seed and the epoch alone; batches on a device.

So training resumes at any batch without a replay and without the state of a generator. Legend: N batch.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit

POOL_BATCHES = 100

Batch = dict[str, Tensor]


class Epoch(NamedTuple):
    """The batches of an epoch: batch i has the samples order[bounds[i] : bounds[i + 1]]."""

    order: NDArray[np.int64]
    bounds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def batch(self, number: int) -> NDArray[np.int64]:
        """The samples of a batch, (N,)."""
        return self.order[self.bounds[number] : self.bounds[number + 1]]


def on_device(arrays: Arrays, device: torch.device) -> Batch:
    """A batch of arrays as tensors on a device."""
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if device.type == "cuda":
        # The copy from page-locked memory overlaps computation; its allocator waits before it reuses a block.
        return {name: value.pin_memory().to(device, non_blocking=True) for name, value in tensors.items()}
    return tensors


def derive_seed(seed: int, *names: str | int) -> int:
    """An independent 63-bit seed for a named purpose."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the samples in an epoch: a permutation (samples,)."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(samples).astype(np.int64, copy=False)


def steps_per_epoch(samples: int, batch_size: int, processes: int = 1) -> int:
    """Number of batches in an epoch. A last batch of one sample is left out: batch normalisation needs two.

    So is a last batch with fewer samples than processes, of which some would have none.
    """
    full, rest = divmod(samples, batch_size)
    return max(1, full + (1 if rest >= max(2, processes) else 0))


def epoch_batches(
    samples: int,
    batch_size: int,
    seed: int,
    epoch: int,
    sizes: NDArray[np.int64] | None = None,
    order: NDArray[np.int64] | None = None,
    processes: int = 1,
) -> Epoch:
    """The batches of an epoch; their number is `steps_per_epoch`.

    Args:
        sizes: (samples, keys) lengths of the samples, if they differ. Pools of a hundred batches (with two keys, four
            hundred) are then sorted by length and cut into batches, which are shuffled: a batch has little padding.
        order: (samples,) of the epoch; default: `epoch_order`.
    """
    if order is None:
        order = epoch_order(samples, seed, epoch)
    steps = steps_per_epoch(samples, batch_size, processes)
    bounds = np.minimum(np.arange(steps + 1, dtype=np.int64) * batch_size, samples)
    if sizes is None:
        return Epoch(order, bounds)
    order = order[: bounds[-1]]
    pool = POOL_BATCHES * sizes.shape[1] ** 2 * batch_size
    pools = [order[begin : begin + pool] for begin in range(0, len(order), pool)]
    parts: list[NDArray[np.int64]] = []
    for chosen in pools:
        ordered = _sorted_by_size(chosen, sizes, batch_size)
        parts += [ordered[begin : begin + batch_size] for begin in range(0, len(ordered), batch_size)]
    turns = np.random.default_rng(derive_seed(seed, "batches", epoch)).permutation(len(parts))
    parts = [parts[turn] for turn in turns]
    return Epoch(np.concatenate(parts), np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64))


def _sorted_by_size(chosen: NDArray[np.int64], sizes: NDArray[np.int64], batch_size: int) -> NDArray[np.int64]:
    """Samples in an order in which neighbours have similar lengths.

    Sorted by the first key; with two keys, the order is cut into about sqrt(batches) groups, and each group is sorted
    by the second key.
    """
    ordered = chosen[np.argsort(sizes[chosen, 0], kind="stable")]
    if sizes.shape[1] == 1:
        return ordered
    group = max(1, round(math.sqrt(len(ordered) / batch_size))) * batch_size
    parts = [ordered[begin : begin + group] for begin in range(0, len(ordered), group)]
    return np.concatenate([part[np.lexsort((sizes[part, 0], sizes[part, 1]))] for part in parts])


def sample_sizes(split: StoredSplit, inputs: tuple[str, ...]) -> NDArray[np.int64] | None:
    """The sizes to sort samples by, (samples, 1 or 2): lengths of the first input, and of another array if they differ.

    None if the first input has one size.
    """
    ragged = [spec.name for spec in split.specs if spec.layout == "ragged" and not spec.on_request]
    if inputs[0] not in ragged:
        return None
    first = split.lengths(inputs[0])
    others = [split.lengths(name) for name in ragged if name != inputs[0]]
    return np.stack([first, *[other for other in others if not np.array_equal(other, first)][:1]], axis=1)
