"""Broken sensors: what becomes of items and arrays."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from components.core.errors import SampleError, UsageError
from components.inference.predictor import Predictor
from components.rehearsal import damage
from tests import small_package


class Reader:
    """Reads every item but an empty one, as a predictor would."""

    def read(self, items: list[Any]) -> list[dict[str, Any]]:
        if items[0] == "":
            raise SampleError("the text is empty")
        return [{"item": items[0]}]


def altered(items: list[Any], fault: Any, column: str | None = None) -> list[Any]:
    alter = damage.of_fault(cast(Predictor, Reader()), fault, column)
    changed, samples = alter(items, [{} for _ in items])
    assert [one is None for one in samples] == [item == "" for item in changed]
    return changed


ROWS = [{"city": "Bonn", "age": 20, "hours": 1.5}, {"city": "Graz", "age": 30, "hours": None}]


@pytest.mark.parametrize(
    ("fault", "column", "values"),
    [("stuck", "raw.row.city", ["Bonn", "Bonn"]), ("missing", "city", [None, None]), ("unit", "age", [2000, 3000]),
     ("unit", "hours", [150.0, None])],
)  # fmt: skip
def test_a_column_of_a_table(fault: str, column: str, values: list[Any]) -> None:
    name = column.removeprefix("raw.row.")
    changed = altered(ROWS, fault, column)
    assert [row[name] for row in changed] == values
    assert [{**row, name: 0} for row in changed] == [{**row, name: 0} for row in ROWS]


def test_the_first_column_of_numbers_is_the_default() -> None:
    assert [row["age"] for row in altered(ROWS, "stuck")] == [20, 20]


def test_what_cannot_break_is_refused() -> None:
    for items, fault, column in ((ROWS, "unit", "city"), (ROWS, "stuck", "weight"), (["a"], "unit", None)):
        with pytest.raises(UsageError):
            altered(items, fault, column)


def test_texts_and_images() -> None:
    assert altered(["one", "two"], "stuck") == ["one", "one"]
    assert altered(["one", "two"], "missing") == ["", ""]
    first, second = small_package.image(1), small_package.image(2)
    assert altered([first, second], "stuck") == [first, first]
    black, faint = (altered([first], fault)[0] for fault in ("missing", "unit"))
    levels = [np.asarray(Image.open(io.BytesIO(one))) for one in (first, black, faint)]
    assert levels[1].shape == levels[0].shape == (8, 8)
    assert levels[1].max() == 0
    assert (levels[2] == np.round(levels[0] / 255)).all()


def test_arrays_of_other_inputs() -> None:
    samples = [{"sound": np.array([1.0, 2.0], np.float32)}, {"sound": np.array([3.0, 4.0], np.float32)}]
    for fault, expected in (("stuck", [1, 2]), ("missing", [0, 0]), ("unit", [300, 400])):
        alter = damage.of_fault(cast(Predictor, Reader()), cast(Any, fault), None)
        _, changed = alter([None, None], [dict(one) for one in samples])
        assert changed[1] is not None
        assert changed[1]["sound"].tolist() == expected
