"""Batches from memory-mapped arrays: one gather a batch, in an order that depends on the seed and the epoch alone.

So a training goes on at any batch without replaying what came before, and no generator's state needs keeping.
Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Split(NamedTuple):
    """One split of a prepared dataset, memory-mapped: uint8 (samples, H, W, C) and int64 (samples,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @staticmethod
    def open(prepared: Path, name: str) -> Split:
        """Map `<name>/images.npy`; labels are small and are read."""
        images = np.load(prepared / name / "images.npy", mmap_mode="r", allow_pickle=False)
        return Split(images, np.load(prepared / name / "labels.npy", allow_pickle=False))

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Gather samples onto a device: uint8 (N, H, W, C) and int64 (N,)."""
        images = torch.from_numpy(self.images[index])
        labels = torch.from_numpy(self.labels[index])
        if device.type == "cuda":
            # Page-locked memory lets the copy run beside the computation; its allocator waits before it is used again.
            images = images.pin_memory().to(device, non_blocking=True)
            labels = labels.pin_memory().to(device, non_blocking=True)
        return images, labels


def derive_seed(seed: int, *names: str | int) -> int:
    """An independent 63-bit seed for a named purpose."""
    words = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], "big") >> 1


def epoch_order(samples: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the samples in an epoch: a permutation (samples,)."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(samples).astype(np.int64, copy=False)


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches an epoch. A last batch of a single sample is left out: batch normalisation has no variance of one."""
    full, rest = divmod(samples, batch_size)
    return max(1, full + (1 if rest > 1 else 0))
