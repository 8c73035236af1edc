"""Texts of a language model, packed into blocks of equal length: every token is learned once in an epoch.

The texts of a split follow each other, each from its begin token to its end token, and are cut into blocks; the last
token of a block is also the first of the next, so that it is input once and target once. A block may hold several
texts, and the attention (or the state) crosses from one into the next, as in GPT-2 (Radford et al. 2019).

Legend: N blocks, n blocks of a batch, L tokens of a block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec, lengths
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit


class PackedSplit(StoredSplit):
    """A split whose samples are blocks: the ragged array `name`, int64 (L,); the last block may be shorter.

    Args:
        split: has the ragged array `source` of whole texts.
        block: L, at least 2.
    """

    def __init__(self, split: StoredSplit, source: str, name: str, block: int) -> None:
        pad = next(spec.pad for spec in split.specs if spec.name == source)
        self.specs = (ArraySpec(name=name, type="int64", shape=(), layout="ragged", pad=pad),)
        self._values = {name: split.all(source)}
        self._name, self._block, self._pad = name, block, pad
        self.texts, self.tokens = len(split), len(self._values[name])

    def __len__(self) -> int:
        return max(1, -(-(self.tokens - 1) // (self._block - 1)))

    def lengths(self, name: str) -> NDArray[np.int64]:
        """Tokens of each block, (N,)."""
        begins = np.arange(len(self), dtype=np.int64) * (self._block - 1)
        return np.minimum(self._block, self.tokens - begins)

    def sample(self, row: int) -> Arrays:
        """One block, not padded."""
        begin = row * (self._block - 1)
        return {self._name: self._values[self._name][begin : begin + self._block].astype(np.int64)}

    def batch(self, index: NDArray[np.int64], names: Sequence[str] | None = None) -> Arrays:
        """Blocks by their numbers (n,): tokens (n, L) and their lengths."""
        counts = self.lengths(self._name)[index]  # (n,)
        places = index[:, None] * (self._block - 1) + np.arange(counts.max(initial=1))  # (n, L)
        inside = places < self.tokens
        values = self._values[self._name][np.minimum(places, self.tokens - 1)].astype(np.int64)
        return {self._name: np.where(inside, values, self._pad), lengths(self._name): counts}
