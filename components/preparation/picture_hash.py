"""Near-duplicate pictures: 64 bits of a discrete cosine transform, then the correlation of small grey pictures.

The hash is of the kind called pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010):
the lowest frequencies of the grey picture, each compared with their median. Hashes only propose pairs. A pair counts if
the small pictures correlate (Pearson), which tells simple shapes apart that share a hash.

All sums are of whole numbers below 2**53, so the result does not depend on the machine. Legend: n pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16  # of the small picture
MIN_SIDE = 8
LOW = 8  # frequencies along each axis
THRESHOLD = 0.995  # correlation of small pictures; measured on real sets: docs/datasets.md
MAX_DISTANCE = 6  # bits that differ in a proposed pair
_SCALE = 1 << 10

NAME = "correlation of the pictures at 16 x 16 grey levels"


def signatures(pictures: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Small grey pictures (n, SIDE * SIDE) of pictures uint8 (H, W, C)."""
    return np.stack([_small(picture) for picture in pictures])


def _small(picture: NDArray[Any]) -> NDArray[np.uint8]:
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    if image.mode != "L":
        image = image.convert("L")
    method = Image.Resampling.BOX if min(image.size) >= SIDE else Image.Resampling.BILINEAR
    return np.asarray(image.resize((SIDE, SIDE), method)).reshape(-1)


def hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes (n,) of small pictures (n, SIDE * SIDE): a bit is 1 where a frequency is above their median.

    The constant part of the picture is left out; frequencies 0 to 7 along each axis but for it, and (8, 0) in its
    place.
    """
    spectrum = small.astype(np.float64) @ _TRANSFORM  # (n, 64)
    bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Correlation (n,) of pairs of small pictures; 0 for a picture of one level."""
    first, second = one.astype(np.float32), other.astype(np.float32)  # sums stay below 2**24: exact
    count = first.shape[1]
    sums = [side.sum(axis=1).astype(np.float64) for side in (first, second)]
    spreads = [
        count * np.einsum("ij,ij->i", side, side).astype(np.float64) - total**2
        for side, total in zip((first, second), sums, strict=True)
    ]
    covariance = count * np.einsum("ij,ij->i", first, second).astype(np.float64) - sums[0] * sums[1]
    product = np.sqrt(spreads[0]) * np.sqrt(spreads[1])
    return np.divide(covariance, product, out=np.zeros(len(first)), where=product > 0)


def _transform() -> NDArray[np.float64]:
    """The transform (SIDE * SIDE, 64), whole numbers: products of the cosines of DCT-II along both axes."""
    steps = np.arange(SIDE)
    waves = np.round(_SCALE * np.cos(np.pi / SIDE * (steps + 0.5) * np.arange(LOW + 1)[:, None]))  # (9, SIDE)
    pairs = [(row, column) for row in range(LOW) for column in range(LOW)]
    pairs[0] = (LOW, 0)
    return np.stack([np.outer(waves[row], waves[column]).ravel() for row, column in pairs], axis=1)


_TRANSFORM = _transform()
