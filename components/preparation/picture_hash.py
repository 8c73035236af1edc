"""Near-duplicate pictures: 64 bits of a discrete cosine transform, then the correlation of small grey pictures.

The hash is of the kind called pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hashes, 2010):
the lowest frequencies of the grey picture, each compared with their median. Hashes only propose pairs. A pair counts if
the small pictures correlate (Pearson), which tells simple shapes apart that share a hash.

All sums are of whole numbers that floats hold exactly: the result does not depend on the machine. Legend: n pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 16  # of the small picture
LOW = 8  # frequencies along each axis
THRESHOLD = 0.995  # correlation of small pictures; measured on real sets: docs/datasets.md
MAX_DISTANCE = 6  # bits that differ in a proposed pair
_SCALE = 1 << 10
_EXACT = (1 << 24) // 255  # pixels up to which sums of weighted levels are exact in float32

NAME = "correlation of the pictures at 16 x 16 grey levels"


def signatures(pictures: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Small grey pictures (n, SIDE * SIDE) of pictures uint8 (H, W, C)."""
    height, width, _ = pictures[0].shape
    if any(picture.shape != pictures[0].shape for picture in pictures) or height * width > _EXACT:
        return np.stack([_resized(picture) for picture in pictures])
    grey = _grey(np.stack(pictures))
    columns = grey.reshape(-1, width) @ _areas(width)  # (n * H, SIDE)
    columns = columns.reshape(len(pictures), height, SIDE).transpose(0, 2, 1).reshape(-1, height)
    cells = (columns @ _areas(height)).reshape(len(pictures), SIDE, SIDE).transpose(0, 2, 1)
    return np.asarray((cells // (height * width)).astype(np.uint8).reshape(len(pictures), -1))


def _grey(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Levels (n, H, W), whole numbers: of colours by ITU-R BT.601."""
    if pictures.shape[3] == 1:
        return np.asarray(pictures[..., 0], np.float32)
    levels: NDArray[np.float32] = np.floor(pictures.astype(np.float32) @ np.array([77, 150, 29], np.float32) / 256)
    return levels


@cache
def _areas(length: int) -> NDArray[np.float32]:
    """Weights (length, SIDE) of the pixels of a line in each of `SIDE` equal parts, in units of 1 / SIDE; sums are
    `length`."""
    begins, ends = SIDE * np.arange(length)[:, None], SIDE * np.arange(1, length + 1)[:, None]
    parts = length * np.arange(SIDE)
    overlap = np.minimum(ends, parts + length) - np.maximum(begins, parts)
    weights: NDArray[np.float32] = np.maximum(0, overlap).astype(np.float32)
    return weights


def _resized(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """The small picture of a large one, by Pillow, in whole numbers too."""
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)).reshape(-1)


def hashes(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes (n,) of small pictures (n, SIDE * SIDE): a bit is 1 where a frequency is above their median.

    The constant part of the picture is left out; frequencies 0 to 7 along each axis but for it, and (8, 0) in its
    place.
    """
    spectrum = small.astype(np.float64) @ _TRANSFORM  # (n, 64)
    bits = spectrum >= np.partition(spectrum, spectrum.shape[1] // 2, axis=1)[:, spectrum.shape[1] // 2, None]
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
    return np.asarray(np.divide(covariance, product, out=np.zeros(len(first)), where=product > 0))


def _transform() -> NDArray[np.float64]:
    """The transform (SIDE * SIDE, 64), whole numbers: products of the cosines of DCT-II along both axes."""
    steps = np.arange(SIDE)
    waves = np.round(_SCALE * np.cos(np.pi / SIDE * (steps + 0.5) * np.arange(LOW + 1)[:, None]))  # (9, SIDE)
    pairs = [(row, column) for row in range(LOW) for column in range(LOW)]
    pairs[0] = (LOW, 0)
    return np.stack([np.outer(waves[row], waves[column]).ravel() for row, column in pairs], axis=1)


_TRANSFORM = _transform()
