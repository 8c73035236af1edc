"""Columns of described samples as arrays: sequences of numbers or names, None where a sample has none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from components.ingestion import columns
from components.ingestion.row_columns import Categories


class NumberValues(Sequence[float | None]):
    """Numbers, 8 bytes each; NaN is None."""

    def __init__(self) -> None:
        self._parts: list[NDArray[np.float64]] = []

    @property
    def array(self) -> NDArray[np.float64]:
        """All of them, NaN for None."""
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.empty(0)]
        return self._parts[0]

    def finite(self) -> NDArray[np.float64]:
        """Those that are finite."""
        return self.array[np.isfinite(self.array)]

    def append(self, value: object) -> None:
        """Add a value."""
        self._parts.append(np.array([np.nan if value is None else value], np.float64))

    def extend(self, values: NDArray[np.float64]) -> None:
        """Add values (n,), NaN for None."""
        self._parts.append(np.asarray(values, np.float64))

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> float | None: ...
    @overload
    def __getitem__(self, place: slice) -> list[float | None]: ...
    def __getitem__(self, place: int | slice) -> float | list[float | None] | None:
        found = self.array[place]
        if isinstance(place, slice):
            return [None if value != value else value for value in found.tolist()]
        return None if found != found else float(found)

    def __iter__(self) -> Iterator[float | None]:
        return (None if value != value else value for value in self.array.tolist())

    def __contains__(self, value: object) -> bool:
        return self.count(value) > 0

    def count(self, value: object) -> int:
        """How often a value is there."""
        return int((np.isnan(self.array) if value is None else self.array == value).sum())


class NameValues(Sequence[str | None]):
    """Names, 4 bytes each."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._parts: list[NDArray[np.int32]] = []

    @property
    def names(self) -> list[str]:
        """The different ones."""
        return list(self._names)

    @property
    def _numbers(self) -> NDArray[np.int32]:
        if len(self._parts) != 1:
            self._parts = [np.concatenate(self._parts) if self._parts else np.empty(0, np.int32)]
        return self._parts[0]

    def append(self, value: object) -> None:
        """Add a value."""
        self.extend(
            Categories(np.array([-1 if value is None else 0], np.int32), [str(value)] if value is not None else [])
        )

    def extend(self, values: Categories) -> None:
        """Add values."""
        used = set(np.unique(values.numbers).tolist())
        places = [self._names.setdefault(name, len(self._names)) if number in used else -1
                  for number, name in enumerate(values.names)]  # fmt: skip
        self._parts.append(np.array([*places, -1], np.int32)[values.numbers])

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str | None: ...
    @overload
    def __getitem__(self, place: slice) -> list[str | None]: ...
    def __getitem__(self, place: int | slice) -> str | list[str | None] | None:
        names: list[str | None] = [*self._names, None]
        found = self._numbers[place]
        return [names[number] for number in found.tolist()] if isinstance(place, slice) else names[int(found)]

    def __iter__(self) -> Iterator[str | None]:
        return iter(columns.of_codes(self._numbers, self.names).to_pylist())

    def __contains__(self, value: object) -> bool:
        return self.count(value) > 0

    def count(self, value: object) -> int:
        """How often a value is there."""
        number = -1 if value is None else self._names.get(str(value), -2)
        return int((self._numbers == number).sum())


Values = NumberValues | NameValues


def extended(before: Any, values: NDArray[Any] | Categories) -> Values:
    """A column and the values of further samples.

    Args:
        before: the column so far: a list of single values, a column of this module, or None.
    """
    kind: Values = NameValues() if isinstance(values, Categories) else NumberValues()
    column: Values = before if isinstance(before, NumberValues | NameValues) else kind
    for value in before if isinstance(before, list) else ():
        column.append(value)
    column.extend(values)  # type: ignore[arg-type]  # a column keeps its kind
    return column
