"""The fitted half of the tasks whose samples are rows of a table, except for the label or target.

    row {name: value} ─► numbers float32 (N, F): scaled, missing ones at the median
                      └► categories int64 (N, G): the columns of categories, then, for each column of numbers that may
                         be missing, whether the number is there (2) or missing (1)

Legend: N samples, F columns of numbers, G columns of categories and indicators.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import TableInput
from components.core.errors import SampleError, UsageError
from components.core.strict import Strict
from components.tasks import items
from components.tasks.processor import BaseProcessor
from components.tasks.table_columns import FIRST, MISSING, UNKNOWN, CategoryColumn, NumberColumn, Scaling
from components.tasks.task import Prediction, RawSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.ingestion.row_columns import RowColumns
    from components.preprocessing.number_statistics import NumberStatistics
    from components.tasks.task import Arrays, RunGraph

NUMBERS, CATEGORIES = "numbers", "categories"
UNKNOWN_KEY = "unknown_categories"  # of a prediction
_SHOWN = 5
_MOST_PROBLEMS = 20  # of a row, named in one error


class TabularSettings(Strict):
    """How the columns of a table become arrays.

    Args:
        scaling: of numbers: `quantile`, to a normal distribution by a table of quantiles, or `standard`, by mean and
            standard deviation.
        min_frequency: a category of fewer samples of train counts as unknown.
        may_be_missing: columns in which null is a missing value even if train has a value everywhere; a null in any
            other column without missing values in train is refused.
    """

    scaling: Scaling = "quantile"
    min_frequency: int = Field(default=1, ge=1)
    may_be_missing: list[str] = Field(default=[])


class TableProcessor(BaseProcessor, TabularSettings):
    """The fitted columns.

    Args:
        numbers, categories: in the order of the arrays.
    """

    numbers: list[NumberColumn]
    categories: list[CategoryColumn]

    def input_spec(self) -> TableInput:
        """Numbers (N, F) and categories (N, G)."""
        cardinalities = [column.cardinality for column in self.categories]
        return TableInput(numbers=len(self.numbers), cardinalities=cardinalities + [FIRST + 1] * len(self.indicated))

    @property
    def indicated(self) -> list[NumberColumn]:
        """The columns of numbers that may be missing."""
        return [column for column in self.numbers if column.may_be_missing]

    def inputs(self) -> tuple[str, ...]:
        """`numbers`, `categories`, or both."""
        return tuple(array.name for array in self.input_arrays())

    def input_arrays(self) -> tuple[ArraySpec, ...]:
        """`numbers` float32 (F,) and `categories` int64 (G,); one of them if the table has no columns of the other."""
        spec = self.input_spec()
        arrays = [ArraySpec(name=NUMBERS, type="float32", shape=(spec.numbers,))] if spec.numbers else []
        if spec.cardinalities:
            arrays.append(ArraySpec(name=CATEGORIES, type="int64", shape=(len(spec.cardinalities),)))
        return tuple(arrays)

    def rows(self, rows: Sequence[Any]) -> list[Arrays]:
        """The input arrays of each row.

        Raises:
            SampleError: a row lacks a column or has another one, or a value is of the wrong type, all columns at once;
                `where` has the position if there are several rows.
        """
        import numpy as np

        read = items.each(self._values, rows) if len(rows) > 1 else [self._values(row) for row in rows]
        values = [np.array([row[0][place] for row in read]) for place in range(len(self.numbers))]  # F times (N,)
        numbered = [column.numbers([row[1][place] for row in read]) for place, column in enumerate(self.categories)]
        arrays = self._arrays(values, numbered)
        return [{name: array[row] for name, array in arrays.items()} for row in range(len(read))]

    def columns(self, rows: RowColumns) -> Arrays:
        """The input arrays of all rows at once, (N, F) and (N, G): those of `rows`.

        Raises:
            SampleError: a row has no value in a column without missing values; `rows` says which row it is.
        """
        values = [rows.numbers[column.name] for column in self.numbers]
        for column, found in zip(self.numbers, values, strict=True):
            if not column.may_be_missing and (found != found).any():
                column.value(None)
        return self._arrays(values, [column.column(rows.categories[column.name]) for column in self.categories])

    def _arrays(self, values: Sequence[NDArray[Any]], numbered: Sequence[NDArray[Any]]) -> Arrays:
        """The input arrays (N, F) and (N, G).

        Args:
            values: of the columns of numbers, F times (N,), NaN where missing.
            numbered: of the columns of categories.
        """
        import numpy as np

        scaled = [column.scaled(found) for column, found in zip(self.numbers, values, strict=True)]
        indicators = [
            np.where(np.isnan(found), MISSING, FIRST)
            for column, found in zip(self.numbers, values, strict=True)
            if column.may_be_missing
        ]
        arrays: Arrays = {NUMBERS: np.stack(scaled, axis=1)} if scaled else {}
        return arrays | ({CATEGORIES: np.stack([*numbered, *indicators], axis=1)} if numbered or indicators else {})

    def _values(self, row: Any) -> tuple[list[float], list[str | None]]:
        if not isinstance(row, Mapping):
            raise SampleError("no row of columns", got=type(row).__name__, expected="an object with a value a column")
        if len(row) == len(self.numbers) + len(self.categories):
            with contextlib.suppress(SampleError, KeyError):  # all that is wrong is found below
                numbers = [column.value(row[column.name]) for column in self.numbers]
                return numbers, [column.value(row[column.name]) for column in self.categories]
        raise _all_at_once(list(self._problems(row)))

    def _problems(self, row: Mapping[str, Any]) -> Iterator[SampleError]:
        """Everything that keeps a row from being read."""
        columns: list[NumberColumn | CategoryColumn] = [*self.numbers, *self.categories]
        names = [column.name for column in columns]
        if missing := [name for name in names if name not in row]:
            yield SampleError(f"without the column {_named(missing, _MOST_PROBLEMS)}",
                              got=_named(sorted(map(str, row)), _MOST_PROBLEMS),
                              expected=", ".join(names))  # fmt: skip
        if unknown := sorted(set(map(str, row)) - set(names)):
            named = _named(unknown, _MOST_PROBLEMS)
            yield SampleError(f"a column that the model does not know: {named}", got=named, expected=", ".join(names))
        for column in columns:
            if column.name in row:
                try:
                    column.value(row[column.name])
                except SampleError as error:
                    yield error

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """A row: an object with a value for each column."""
        return self.rows([item])[0]

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `row` or `rows`."""
        return items.of(document, "row", "rows")

    def with_unknown(self, predictions: Sequence[Prediction], samples: Sequence[Arrays]) -> list[Prediction]:
        """The predictions with the columns whose category train does not know."""
        names = [column.name for column in self.categories]
        return [
            {
                **prediction,
                UNKNOWN_KEY: [
                    name
                    for name, number in zip(names, sample.get(CATEGORIES, ())[: len(names)], strict=True)
                    if number == UNKNOWN
                ],
            }
            for prediction, sample in zip(predictions, samples, strict=True)
        ]

    def prediction_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """JSON schema of a prediction with the columns of unknown categories."""
        names = {"type": "array", "items": {"type": "string"}}
        properties = {**schema["properties"], UNKNOWN_KEY: names}
        return {**schema, "properties": properties, "required": [*schema["required"], UNKNOWN_KEY]}

    def row_schema(self) -> dict[str, Any]:
        """JSON schema of a row."""
        numbers = {
            column.name: {**_types(("number",), column.may_be_missing), "examples": [column.median]}
            for column in self.numbers
        }
        categories = {
            column.name: {**_types(("string", "boolean", "integer"), column.may_be_missing),
                          "examples": column.vocabulary[:_SHOWN]}
            for column in self.categories
        }  # fmt: skip
        names = [*numbers, *categories]
        return {
            "type": "object",
            "properties": {**numbers, **categories},
            "required": names,
            "additionalProperties": False,
        }


def columns_of(
    settings: TabularSettings, rows: Iterator[Mapping[str, Any]]
) -> tuple[list[NumberColumn], list[CategoryColumn]]:
    """Fit the columns on the rows of train: one of text is of categories, one of numbers is of numbers.

    Raises:
        UsageError: a column has no value in train, or a setting names a column that is not there.
    """
    import numpy as np

    numbers: dict[str, list[float]] = {}
    counts: dict[str, Counter[str | None]] = {}
    empty: dict[str, int] = {}  # columns without a value so far, and their number of rows
    order: list[str] = []
    for row in rows:
        order = order or list(row)
        for name, value in row.items():
            if name in numbers:
                numbers[name].append(np.nan if value is None else value)
            elif name in counts:
                counts[name][value] += 1
            elif value is None:
                empty[name] = empty.get(name, 0) + 1
            elif isinstance(value, str):
                counts[name] = Counter({value: 1, None: empty.pop(name, 0)})
            else:
                numbers[name] = [*[np.nan] * empty.pop(name, 0), value]
    _check_columns(settings, [*numbers, *counts], list(empty))
    fitted: tuple[list[NumberColumn], list[CategoryColumn]] = [], []
    for name in order:
        optional = name in settings.may_be_missing
        if name in numbers:
            values = np.array(numbers[name], np.float64)
            fitted[0].append(NumberColumn.fit(name, values, settings.scaling, may_be_missing=optional))
        else:
            fitted[1].append(CategoryColumn.fit(name, counts[name], settings.min_frequency, may_be_missing=optional))
    return fitted


def fit_columns(
    settings: TabularSettings,
    numbers: Iterable[tuple[str, NumberStatistics]],
    categories: Iterable[tuple[str, Counter[str | None]]],
) -> tuple[list[NumberColumn], list[CategoryColumn]]:
    """As `columns_of`, of the statistics of whole columns.

    Args:
        numbers: names and statistics over train.
        categories: names, and the number of samples of train of each category; None is a missing one.

    Raises:
        UsageError: as of `columns_of`.
    """
    fitted: tuple[list[NumberColumn], list[CategoryColumn]] = [], []
    empty = []
    for name, statistics in numbers:
        if not statistics.samples:
            empty.append(name)
            continue
        optional = name in settings.may_be_missing
        fitted[0].append(NumberColumn.of(name, statistics, settings.scaling, may_be_missing=optional))
    for name, counts in categories:
        if not counts.keys() - {None}:
            empty.append(name)
            continue
        optional = name in settings.may_be_missing
        fitted[1].append(CategoryColumn.fit(name, counts, settings.min_frequency, may_be_missing=optional))
    _check_columns(settings, [column.name for columns in fitted for column in columns], empty)
    return fitted


def _check_columns(settings: TabularSettings, found: list[str], empty: list[str]) -> None:
    if empty or not found:
        raise UsageError(
            f"no value in train in the column {_named(empty)}" if empty else "the rows have no columns",
            next_step="remove the column from the layout in dataset.yaml",
        )
    if unknown := [name for name in settings.may_be_missing if name not in found]:
        raise UsageError("no such column", where="input.may_be_missing", got=_named(unknown), expected=_named(found))


def describe_prepared(batch: Arrays) -> dict[str, NDArray[Any]]:
    """Columns of a batch (N,): categories that train does not know, missing values, largest number without its sign."""
    import numpy as np

    count = len(next(iter(batch.values())))
    categories = batch.get(CATEGORIES, np.zeros((count, 0), np.int64))  # (N, G)
    numbers = batch.get(NUMBERS, np.zeros((count, 0), np.float32))  # (N, F)
    return {
        UNKNOWN_KEY: (categories == UNKNOWN).sum(axis=1),
        "missing_values": (categories == MISSING).sum(axis=1),
        "largest_number": np.abs(numbers).max(axis=1, initial=0).astype(np.float64),
    }


def answer(processor: TableProcessor, run: RunGraph, samples: Sequence[Arrays]) -> Arrays:
    """The outputs of the graph for a batch of rows."""
    from components.preprocessing.batch import collate

    return run("model", collate(processor.input_arrays(), samples, processor.inputs()))


def _all_at_once(problems: list[SampleError]) -> SampleError:
    """One error of all problems of a row."""
    if len(problems) == 1:
        return problems[0]
    shown = problems[:_MOST_PROBLEMS]
    more = f"; and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
    got, expected = (dict.fromkeys(str(getattr(one, name)) for one in shown) for name in ("got", "expected"))
    return SampleError(
        "; ".join(problem.what for problem in shown) + more, got="; ".join(got), expected="; ".join(expected)
    )


def row_of(raw: RawSample) -> Mapping[str, Any]:
    """The row of a raw sample."""
    row: Mapping[str, Any] = raw.values["row"]
    return row


def _types(names: Sequence[str], may_be_missing: bool) -> dict[str, Any]:
    return {"type": [*names, *(["null"] if may_be_missing else [])]}


def _named(names: Sequence[str], most: int = _SHOWN) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


PREPARED_COLUMNS = (UNKNOWN_KEY, "missing_values", "largest_number")
