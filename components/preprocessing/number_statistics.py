"""Statistics of a column of numbers of any length: in memory, or from files where the column is long.

Both ways give the same bits, whatever parts the column comes in. Means and variances are NumPy's pairwise sums (Higham
1993): their tree follows from the number of values alone, so a file is summed block by block along the same tree.
Medians and percentiles are order statistics, found by bisection over sorted runs, with NumPy's linear interpolation.

Legend: N values, Q quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.preprocessing import quantile_transform

IN_MEMORY = 1 << 20  # values of a column
_BLOCK = 1 << 17  # values that are read at once
_SIGN = np.uint64(1 << 63)

Real = NDArray[np.float64]


class NumberStatistics(NamedTuple):
    """What is known of a column.

    Args:
        rows: number of rows, those without a value included.
        samples: number N of values; without any, the rest is 0.
        std: of the population, as of `numpy.std`.
        quantiles: as of `quantile_transform.fit`; [] where they were not asked for.
    """

    rows: int
    samples: int
    minimum: float
    maximum: float
    median: float
    mean: float
    std: float
    quantiles: list[float]


def of_array(values: Real, *, with_quantiles: bool) -> NumberStatistics:
    """The statistics of values, NaN where there is none."""
    present = values[~np.isnan(values)]
    if not len(present):
        return NumberStatistics(len(values), 0, 0.0, 0.0, 0.0, 0.0, 0.0, [])
    return NumberStatistics(
        rows=len(values),
        samples=len(present),
        minimum=float(present.min()),
        maximum=float(present.max()),
        median=float(np.median(present)),
        mean=float(present.mean()),
        std=float(present.std()),
        quantiles=quantile_transform.fit(present) if with_quantiles else [],
    )


def of_blocks(
    blocks: Iterable[Real], scratch: Path, *, with_quantiles: bool, in_memory: int = IN_MEMORY
) -> NumberStatistics:
    """The statistics of a column that comes in blocks of any size, NaN where there is no value.

    Args:
        scratch: prefix of the names of temporary files, made for more than `in_memory` rows; 16 bytes a value.
    """
    held: list[Real] = []
    count = 0
    coming = iter(blocks)
    for block in coming:
        held.append(block)
        count += len(block)
        if count > in_memory:
            with _Column(scratch) as column:
                for one in held:
                    column.append(one)
                held.clear()
                for one in coming:
                    column.append(one)
                return column.statistics(with_quantiles)
    return of_array(np.concatenate(held) if held else np.empty(0), with_quantiles=with_quantiles)


class _Column:
    """The values of a column in a file, and sorted runs of them in another."""

    def __init__(self, scratch: Path) -> None:
        self._values_path, self._runs_path = (
            scratch.with_name(f"{scratch.name}.{kind}") for kind in ("values", "runs")
        )
        self._values, self._runs = self._values_path.open("w+b"), self._runs_path.open("w+b")
        self._rows = self._samples = 0
        self._unsorted: list[Real] = []

    def __enter__(self) -> _Column:
        return self

    def __exit__(self, *_: object) -> None:
        for stream, path in ((self._values, self._values_path), (self._runs, self._runs_path)):
            stream.close()
            path.unlink()

    def append(self, block: Real) -> None:
        """Add rows, NaN where there is no value."""
        self._rows += len(block)
        present = np.ascontiguousarray(block[~np.isnan(block)], "<f8")
        self._values.write(present.data)
        while len(present):
            taken = min(len(present), _BLOCK - self._samples % _BLOCK)
            self._unsorted.append(present[:taken])
            self._samples += taken
            present = present[taken:]
            if self._samples % _BLOCK == 0:
                self._write_run()

    def _write_run(self) -> None:
        if self._unsorted:
            self._runs.write(np.sort(_ordered(np.concatenate(self._unsorted))).data)
            self._unsorted.clear()

    def statistics(self, with_quantiles: bool) -> NumberStatistics:
        """The statistics of all that was added."""
        self._write_run()
        self._values.flush()
        self._runs.flush()
        count = self._samples
        if not count:
            return NumberStatistics(self._rows, 0, 0.0, 0.0, 0.0, 0.0, 0.0, [])
        mean = self._sum(lambda values: values) / count
        variance = self._sum(lambda values: np.square(values - mean)) / count
        places = _percentile_places(count) if with_quantiles else np.empty(0)
        middle = np.array([(count - 1) // 2, count // 2])
        whole = np.floor(places).astype(np.int64)
        ranks = np.concatenate([[0, count - 1], middle, whole, np.minimum(whole + 1, count - 1)])
        found = self._at(ranks)
        low, high = found[4 : 4 + len(places)], found[4 + len(places) :]
        quantiles: list[float] = np.maximum.accumulate(_interpolated(low, high, places - whole)).tolist()
        return NumberStatistics(
            self._rows, count, float(found[0]), float(found[1]), float(found[2:4].mean()), float(mean),
            math.sqrt(variance), quantiles,
        )  # fmt: skip

    def _sum(self, of: Callable[[Real], Real]) -> float:
        self._values.seek(0)
        return _pairwise(self._samples, lambda size: of(np.fromfile(self._values, "<f8", size)))

    def _at(self, ranks: NDArray[np.int64]) -> Real:
        """The values of these ranks, from 0, in the order of all values."""
        wanted, places = np.unique(ranks, return_inverse=True)
        low = np.zeros(len(wanted), np.uint64)  # the values are in low..high
        high = np.full(len(wanted), np.iinfo(np.uint64).max, np.uint64)
        while (low < high).any():
            middle = low + (high - low) // np.uint64(2)
            until = sum(np.searchsorted(run, middle, side="right") for run in self._sorted_runs())
            is_enough = until > wanted
            high = np.where(is_enough, middle, high)
            low = np.where(is_enough, low, np.minimum(middle, high - np.uint64(1)) + np.uint64(1))
        return _values(low)[places]

    def _sorted_runs(self) -> Iterator[NDArray[np.uint64]]:
        self._runs.seek(0)
        for start in range(0, self._samples, _BLOCK):
            yield np.fromfile(self._runs, "<u8", min(_BLOCK, self._samples - start))


def _pairwise(count: int, read: Callable[[int], Real]) -> float:
    """The sum of the next `count` values as `numpy.add.reduce` adds them.

    NumPy halves what it sums, down to a multiple of 8, until 128 values are left; so do we down to a block, which NumPy
    sums further.
    """
    if count <= _BLOCK:
        return float(np.add.reduce(read(count)))
    half = count // 2
    half -= half % 8
    return _pairwise(half, read) + _pairwise(count - half, read)


def _percentile_places(count: int) -> Real:
    """The places (Q,) of the quantiles of `quantile_transform.fit` among sorted values, with fractions."""
    quantiles = np.true_divide(quantile_transform.percentages(count), 100)
    places: Real = (count - 1) * quantiles
    return places


def _interpolated(low: Real, high: Real, weight: Real) -> Real:
    """As NumPy's percentiles of method `linear` interpolate: from the nearer side."""
    step = high - low
    return np.where(weight >= 0.5, high - step * (1 - weight), low + step * weight)


def _ordered(values: Real) -> NDArray[np.uint64]:
    """Numbers (N,) that are ordered as the values; -0.0 comes before 0.0."""
    bits: NDArray[np.uint64] = np.ascontiguousarray(values).view(np.uint64)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _values(ordered: NDArray[np.uint64]) -> Real:
    """The inverse of `_ordered`."""
    bits: NDArray[Any] = np.where(ordered & _SIGN, ordered & ~_SIGN, ~ordered)
    return bits.view(np.float64)
