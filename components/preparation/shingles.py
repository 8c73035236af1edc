"""Near-duplicate texts: MinHash over shingles of bytes, and bands of it.

Jaccard similarity of the sets of all runs of `LENGTH` bytes (Broder, On the Resemblance and Containment of Documents,
1997), of texts in lower case with single spaces. Each shingle is hashed once and falls into one of `BINS` bins, whose
least value is kept (one permutation hashing: Li, Owen and Zhang, NIPS 2012); for bands, an empty bin takes the value of
the next one (Shrivastava and Li, Densifying One Permutation Hashing, ICML 2014). Legend: n texts, B bands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LENGTH = 8  # bytes of a shingle
BINS = 128
ROWS = 6  # bins of a band: texts of similarity 0.8 share one of 21 bands with probability 0.998
THRESHOLD = 0.8
EMPTY = np.uint32(0xFFFFFFFF)

NAME = "Jaccard similarity of runs of 8 bytes, estimated by MinHash"

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of splitmix64 (Steele, Lea and Flood 2014)
_SHIFT_BIN, _SHIFT_VALUE, _FOLD = np.uint64(57), np.uint64(25), np.uint64(32)
_ODD = 2 * np.random.default_rng(0).integers(1, 2**62, ROWS).astype(np.uint64) + np.uint64(1)


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """The least values (n, BINS) of the bins of each text; `EMPTY` where no shingle falls into a bin."""
    contents = [" ".join(text.lower().split()).encode("utf-8", "replace").ljust(LENGTH) for text in texts]
    sizes = np.array([len(content) for content in contents])
    ends = np.cumsum(sizes)
    joined = b"".join(contents)
    count = len(joined) - LENGTH + 1
    windows = np.ndarray((count,), np.dtype("<u8"), joined, strides=(1,))  # every run of 8 bytes as a number
    whole = np.ones(len(joined), bool)
    whole[(ends[:, None] - np.arange(1, LENGTH)).ravel()] = False  # the others reach into the next text
    values = _mixed(windows.astype(np.uint64)[whole[:count]])
    bins = np.repeat(BINS * np.arange(len(contents)), sizes - LENGTH + 1)
    bins += (values >> _SHIFT_BIN).view(np.int64)
    result = np.full(len(contents) * BINS, EMPTY, np.uint32)
    np.minimum.at(result, bins, (values >> _SHIFT_VALUE).astype(np.uint32))
    return result.reshape(-1, BINS)


def bands(found: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A number (n, B) for each band of `ROWS` bins: equal where all its bins are."""
    twice = np.concatenate([found, found], axis=1)[:, ::-1]
    last = np.maximum.accumulate(np.where(twice != EMPTY, np.arange(2 * BINS, dtype=np.int16), 0), axis=1)
    dense = np.take_along_axis(twice, last, axis=1)[:, : BINS - 1 : -1]  # the next bin that is not empty
    count = BINS // ROWS
    grouped = dense[:, : count * ROWS].reshape(len(dense), count, ROWS).astype(np.uint64)
    mixed = _mixed((grouped * _ODD).sum(axis=2, dtype=np.uint64))
    return (mixed >> np.uint64(32)).astype(np.uint32)


def similarity(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The estimated similarity (n,) of pairs: the share of equal bins among those that are not empty in both."""
    present = (one != EMPTY) | (other != EMPTY)
    return np.asarray(((one == other) & present).sum(axis=1) / np.maximum(1, present.sum(axis=1)))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = values * _MIX[0]
    values ^= values >> _FOLD
    values *= _MIX[1]
    values ^= values >> _FOLD
    return values
