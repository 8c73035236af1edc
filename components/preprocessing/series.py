"""From series of numbers to arrays. Training and serving share this code.

Legend: T steps, C channels.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SampleError

_LEAST_STD = 1e-6  # avoids a division by zero for a constant channel
DESCRIBED = ("steps", "finite", "minimum", "maximum", "mean", "standard_deviation")


class SeriesStatistics:
    """Mean and standard deviation of each channel, accumulated by the stable update of Chan et al. (1979)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(0)
        self._squares: NDArray[np.float64] = np.zeros(0)

    def add(self, series: NDArray[Any]) -> None:
        """Add the steps of a series (T, C)."""
        if not len(series):
            return
        values = series.astype(np.float64)
        mean = values.mean(axis=0)
        squares = np.square(values - mean).sum(axis=0)
        if not self._count:
            self._count, self._mean, self._squares = len(values), mean, squares
            return
        total = self._count + len(values)
        delta = mean - self._mean
        self._squares = self._squares + squares + np.square(delta) * (self._count * len(values) / total)
        self._mean = self._mean + delta * (len(values) / total)
        self._count = total

    def result(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel.

        Raises:
            SampleError: no step was added.
        """
        if not self._count:
            raise SampleError("the train split has no values", expected="at least one step")
        std = np.maximum(np.sqrt(self._squares / self._count), _LEAST_STD)
        return self._mean.tolist(), std.tolist()


def read(item: Any, channels: int | None) -> NDArray[np.float64]:
    """Read a series (T, C): a list of T numbers, of T lists of C numbers, or CSV of T rows (text or UTF-8 bytes).

    A first row of CSV without any number is a header. Numbers in one row, in one column or in a flat list are
    consecutive steps of C numbers.

    Args:
        channels: required C, or None for any.

    Raises:
        SampleError: values that are no numbers, rows of unequal lengths, NaN or infinity, no step, or another C.
    """
    if isinstance(item, bytes):
        try:
            item = item.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SampleError("the series is not UTF-8", got=error, expected="CSV in UTF-8") from error
    values = _of_csv(item) if isinstance(item, str) else _of_lists(item)
    if values.size == 0:
        raise SampleError("the series is empty", got="0 steps", expected="at least one")
    if channels is not None and isinstance(item, str) and values.shape[1] != channels and 1 in values.shape:
        values = values.ravel()
    if channels is not None and values.ndim == 1:
        if len(values) % channels:
            raise SampleError(
                "the series has an incomplete step", got=f"{len(values)} values", expected=f"{channels} a step"
            )
        values = values.reshape(-1, channels)
    values = values[:, None] if values.ndim == 1 else values
    if channels is not None and values.shape[1] != channels:
        raise SampleError("the series has another number of channels", got=values.shape[1], expected=channels)
    return finite(values)


def finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values (T, C) themselves, after a check.

    Raises:
        SampleError: a value is NaN, infinite, or too large for float32; `where` is the position of the first.
    """
    with np.errstate(over="ignore"):
        right = np.isfinite(values.astype(np.float32))
    if not right.all():
        step, channel = np.argwhere(~right)[0].tolist()
        where = f"step {step}, channel {channel}"
        raise SampleError("the series is not finite", where=where, got=values[step, channel], expected="finite numbers")
    return values


def describe(values: Any, channels: int | None = None) -> dict[str, object]:
    """Facts about a series, readable or not: `DESCRIBED`; the figures are of its finite values."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    right = np.isfinite(array)
    kept = array[right]
    steps = len(array) if array.ndim else 0
    if not kept.size:
        return dict(zip(DESCRIBED, (steps, False, 0.0, 0.0, 0.0, 0.0), strict=True))
    figures = (float(kept.min()), float(kept.max()), float(kept.mean()), float(kept.std()))
    return dict(zip(DESCRIBED, (steps, bool(right.all()), *figures), strict=True))


def to_csv(values: NDArray[np.float64]) -> str:
    """Rows (T, C) as CSV that parses to exactly the same numbers."""
    return "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())


def _of_lists(item: Any) -> NDArray[np.float64]:
    if isinstance(item, np.ndarray) and item.dtype.kind == "f":
        return item.astype(np.float64)
    if not isinstance(item, list):
        raise SampleError("not a series", got=type(item).__name__, expected="a list of numbers, or of lists of numbers")
    if not _is_plain(item):
        _check(item)
    try:
        return np.asarray(item, np.float64)
    except OverflowError as error:
        raise SampleError("a number is too large", got=error, expected="finite numbers") from error


def _is_plain(item: list[Any]) -> bool:
    """Whether these are numbers, or lists of equally many numbers; looks at the types without a loop in Python."""
    kinds = set(map(type, item))
    if kinds == {list}:
        kinds = set(map(type, itertools.chain.from_iterable(item)))
        if len(set(map(len, item))) > 1:
            return False
    return kinds <= {int, float}


def _check(item: list[Any]) -> None:
    """Name the first step or value that does not fit.

    Raises:
        SampleError: there is one.
    """
    width = len(item[0]) if item and isinstance(item[0], list) else None
    for step, row in enumerate(item):
        if (len(row) if isinstance(row, list) else None) != width:
            raise SampleError("the steps have unequal lengths", where=f"step {step}", expected=width or "a number")
        for value in row if isinstance(row, list) else [row]:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SampleError("a value is not a number", where=f"step {step}", got=value, expected="a number")


def _of_csv(text: str) -> NDArray[np.float64]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise SampleError("the series is not CSV", got=error) from error
    if rows and all(_number(cell) is None for cell in rows[0]):
        rows = rows[1:]
    found: list[list[float]] = []
    for step, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise SampleError(
                "the steps have unequal lengths", where=f"step {step}", got=len(row), expected=len(rows[0])
            )
        found.append([])
        for cell in row:
            value = _number(cell)
            if value is None:
                raise SampleError("a value is not a number", where=f"step {step}", got=repr(cell), expected="a number")
            found[-1].append(value)
    return np.asarray(found, np.float64).reshape(len(found), -1) if found else np.zeros((0, 1))


def _number(cell: str) -> float | None:
    """The number in a cell of CSV; an empty cell is a missing value, NaN; None if the cell is no number."""
    if not cell.strip():
        return math.nan
    try:
        return float(cell)
    except ValueError:
        return None
