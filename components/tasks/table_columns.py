"""The columns of a table as they are fitted on the train split: numbers and categories.

Legend: N samples, Q quantiles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import Field

from components.core.errors import SampleError
from components.core.strict import Strict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.ingestion.row_columns import Categories
    from components.preprocessing.number_statistics import NumberStatistics

UNKNOWN, MISSING, FIRST = 0, 1, 2  # categories; the vocabulary begins at FIRST
Scaling = Literal["quantile", "standard"]


class NumberColumn(Strict):
    """A column of numbers.

    Args:
        samples: number of values in train.
        median: of train, in the place of missing values.
        may_be_missing: whether null is a missing value; otherwise null is refused.
        mean, std: of train, for scaling `standard`.
        quantiles: of train (Q,), for scaling `quantile`; else [].
    """

    name: str
    samples: int
    median: float
    may_be_missing: bool
    mean: float
    std: float
    quantiles: list[float] = Field(default=[])

    @staticmethod
    def fit(name: str, values: NDArray[np.float64], scaling: Scaling, *, may_be_missing: bool) -> NumberColumn:
        """Fit on values (N,) of train, NaN where missing; one at least is there."""
        from components.preprocessing import number_statistics

        statistics = number_statistics.of_array(values, with_quantiles=scaling == "quantile")
        return NumberColumn.of(name, statistics, scaling, may_be_missing=may_be_missing)

    @staticmethod
    def of(name: str, statistics: NumberStatistics, scaling: Scaling, *, may_be_missing: bool) -> NumberColumn:
        """The column of these statistics of train, which has a value at least."""
        return NumberColumn(
            name=name,
            samples=statistics.samples,
            median=statistics.median,
            may_be_missing=may_be_missing or statistics.samples < statistics.rows,
            mean=statistics.mean,
            std=statistics.std or 1.0,
            quantiles=statistics.quantiles if scaling == "quantile" else [],
        )

    @cached_property
    def _table(self) -> NDArray[np.float64]:
        import numpy as np

        return np.array(self.quantiles, np.float64)  # (Q,)

    def value(self, item: Any) -> float:
        """The number of a value of a row; NaN for null.

        Raises:
            SampleError: the value is no finite number, or null in a column without missing values.
        """
        if item is None:
            if not self.may_be_missing:
                raise SampleError(f"no value in the column {self.name}", got="null", expected="a number")
            return float("nan")
        if isinstance(item, bool) or not isinstance(item, int | float):
            self._refuse(item)
        try:
            value = float(item)
        except OverflowError:
            self._refuse(item)
        if value - value != 0:  # infinite, or NaN
            self._refuse(item)
        return value

    def _refuse(self, item: Any) -> NoReturn:
        expected = "a finite number" + (", or null" if self.may_be_missing else "")
        raise SampleError(f"not a number in the column {self.name}", got=repr(item)[:40], expected=expected)

    def scaled(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Values (N,) with NaN where missing to float32 (N,)."""
        import numpy as np

        from components.preprocessing import quantile_transform

        filled = np.where(np.isnan(values), self.median, values)
        if self.quantiles:
            return quantile_transform.transform(filled, self._table, self.samples).astype(np.float32)
        limit = float(np.finfo(np.float32).max)
        return np.clip((filled - self.mean) / self.std, -limit, limit).astype(np.float32)


class CategoryColumn(Strict):
    """A column of categories: 0 is one that is not in the vocabulary, 1 a missing one, then the vocabulary.

    Args:
        vocabulary: categories of train, sorted.
        may_be_missing: whether null is a missing value; otherwise null is refused.
    """

    name: str
    vocabulary: list[str]
    may_be_missing: bool

    @staticmethod
    def fit(name: str, counts: Counter[str | None], min_frequency: int, *, may_be_missing: bool) -> CategoryColumn:
        """Fit on the number of samples of each category of train; None is a missing one."""
        vocabulary = sorted(key for key, count in counts.items() if key is not None and count >= min_frequency)
        return CategoryColumn(name=name, vocabulary=vocabulary, may_be_missing=may_be_missing or counts[None] > 0)

    @property
    def cardinality(self) -> int:
        """Number of categories, with the unknown and the missing one."""
        return FIRST + len(self.vocabulary)

    def value(self, item: Any) -> str | None:
        """The category of a value of a row; None for null.

        Raises:
            SampleError: the value is no name, or null in a column without missing values.
        """
        from components.ingestion.category import category_name

        try:
            name = category_name(item)
        except ValueError as error:
            raise SampleError(
                f"not a category in the column {self.name}",
                got=repr(item)[:40],
                expected="text, a boolean or a whole number" + (", or null" if self.may_be_missing else ""),
            ) from error
        if name is None and not self.may_be_missing:
            raise SampleError(f"no value in the column {self.name}", got=repr(item), expected="a category")
        return name

    def column(self, values: Categories) -> NDArray[np.int64]:
        """The numbers (N,) of a column of categories.

        Raises:
            SampleError: as of `value`.
        """
        names = [self.value(name) for name in values.names]
        if (values.numbers < 0).any():
            self.value(None)
        return self.numbers([*names, None])[values.numbers]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.vocabulary, FIRST)}

    def numbers(self, names: Sequence[str | None]) -> NDArray[np.int64]:
        """The numbers (N,) of categories."""
        import numpy as np

        return np.array([MISSING if name is None else self._places.get(name, UNKNOWN) for name in names], np.int64)
