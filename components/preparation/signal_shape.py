"""Near-duplicate series and sounds: the correlation of their course over time, whatever their level and their scale.

A series becomes `POINTS` whole numbers: means over stretches of time, of up to `GROUPS` groups of neighbouring
channels, each group standardised. Signs of random projections (Charikar, Similarity Estimation Techniques from Rounding
Algorithms, STOC 2002) propose pairs; a pair counts if the whole vectors correlate. Legend: n series, T steps, C
channels, G groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 256
GROUPS = 8
MIN_STEPS = 16  # of fewer steps, unlike series correlate by chance
THRESHOLD = 0.999  # of series: smooth ones of one kind correlate by 0.99; measured on real sets: docs/datasets.md
SOUND_THRESHOLD = 0.99  # of the frames of sounds
MAX_DISTANCE = 8  # bits that differ in a proposed pair
_UNITS = 1024  # a standard deviation

NAME = "correlation over time, at 256 points"

_SIGNS = np.random.default_rng(0).choice(np.array([-1.0, 1.0]), (POINTS, 64))


def signatures(series: Sequence[NDArray[Any]]) -> NDArray[np.int16]:
    """Vectors (n, POINTS) of series (T, C); zeros for a series that is constant, too short, or not finite."""
    return np.stack([_vector(np.asarray(one, np.float64)) for one in series])


def _vector(series: NDArray[np.float64]) -> NDArray[np.int16]:
    result = np.zeros(POINTS, np.int16)
    if len(series) < MIN_STEPS or not np.isfinite(series).all():
        return result
    groups = min(GROUPS, series.shape[1])
    borders = np.arange(groups) * series.shape[1] // groups
    widths = np.diff([*borders, series.shape[1]])
    grouped = np.add.reduceat(series, borders, axis=1) / widths  # (T, G)
    points = POINTS // groups
    if len(series) > points:
        edges = np.arange(points) * len(series) // points
        course = np.add.reduceat(grouped, edges, axis=0) / np.diff([*edges, len(series)])[:, None]
    else:
        places = np.linspace(0, len(series) - 1, points)
        course = np.stack([np.interp(places, np.arange(len(series)), column) for column in grouped.T], axis=1)
    course = course - course.mean(axis=0)
    spread = course.std(axis=0)
    scale = np.divide(
        _UNITS, spread, out=np.zeros(groups), where=spread > 1e-9 * max(1.0, float(np.abs(grouped).max()))
    )
    vector = np.clip(np.rint(course * scale), -32767, 32767).astype(np.int16).ravel()
    result[: len(vector)] = vector
    return result


def hashes(vectors: NDArray[np.int16]) -> NDArray[np.uint64]:
    """64 signs (n,) of random projections."""
    bits = vectors.astype(np.float64) @ _SIGNS > 0
    return np.packbits(bits, axis=1).view(">u8").reshape(-1).astype(np.uint64)


def similarity(one: NDArray[np.int16], other: NDArray[np.int16]) -> NDArray[np.float64]:
    """Correlation (n,) of pairs; 0 for zeros."""
    first, second = one.astype(np.float64), other.astype(np.float64)  # of whole numbers: exact
    squares = [np.einsum("ij,ij->i", side, side) for side in (first, second)]
    product = np.sqrt(squares[0]) * np.sqrt(squares[1])
    products = np.einsum("ij,ij->i", first, second)
    return np.asarray(np.divide(products, product, out=np.zeros(len(first)), where=product > 0))
