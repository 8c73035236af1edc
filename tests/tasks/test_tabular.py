"""Rows of a table as arrays: fitted on train alone, refused by the column's name, answered with what is not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import SampleError, UsageError
from components.tasks import find
from components.tasks.table_processor import TabularSettings
from components.tasks.task import RawSample

CLASSIFICATION: Any = find("tabular-classification")
REGRESSION: Any = find("tabular-regression")
ROWS: list[dict[str, Any]] = [
    {"age": 20 + k, "height": None if k % 5 == 0 else 1.5 + k / 100, "job": ("clerk", "smith", None)[k % 3]}
    for k in range(30)
]


def samples(task: Any, rows: list[dict[str, Any]] = ROWS) -> list[RawSample]:
    truth = {"label": "yes"} if task is CLASSIFICATION else {}
    return [
        RawSample({"row": row, **truth, **({} if truth else {"target": np.array([3.0 * k + 100])})}, {})
        for k, row in enumerate(rows)
    ]


def fitted(task: Any = CLASSIFICATION, rows: list[dict[str, Any]] = ROWS, **settings: Any) -> Any:
    return task.fit(TabularSettings(**settings), iter(samples(task, rows)), ["no", "yes"])


def test_arrays_are_scaled_numbered_and_marked_where_missing(tmp_path: Path) -> None:
    processor = fitted(scaling="standard")
    encoded = processor.encode(samples(CLASSIFICATION))
    numbers = np.stack([one["numbers"] for one in encoded])
    categories = np.stack([one["categories"] for one in encoded])
    assert (numbers.dtype, numbers.shape, categories.dtype, categories.shape) == (
        np.float32, (30, 2), np.int64, (30, 2),
    )  # fmt: skip
    np.testing.assert_allclose(numbers[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(numbers[:, 0].std(), 1, atol=1e-6)
    present = [row["height"] for row in ROWS if row["height"] is not None]
    filled = (np.median(present) - np.mean(present)) / np.std(present)
    np.testing.assert_allclose(numbers[::5, 1], filled, atol=1e-6)
    assert categories[:3].tolist() == [[2, 1], [3, 2], [1, 2]]  # clerk 2, smith 3, missing 1; then the indicator
    assert processor.input_spec().cardinalities == [4, 3]
    assert [one["labels"] for one in encoded[:2]] == [1, 1]
    processor.save(tmp_path)
    again = CLASSIFICATION.load(tmp_path)
    assert again == processor
    for row, one in zip(ROWS, encoded, strict=True):  # one by one as together
        read = again.read(row, max_pixels=1)
        assert all(np.array_equal(read[name], one[name]) for name in read)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"age": None}, "no value in the column age"),
        ({"age": "31"}, "not a number in the column age"),
        ({"age": True}, "not a number in the column age"),
        ({"age": float("inf")}, "not a number in the column age"),
        ({"age": 10**400}, "not a number in the column age"),
        ({"job": 1.5}, "not a category in the column job"),
        ({"job": ["clerk"]}, "not a category in the column job"),
        ({"jobs": "clerk"}, "a column that the model does not know: jobs"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_column(change: dict[str, Any], words: str) -> None:
    processor = fitted()
    row = {"age": 31, "height": 1.7, "job": "clerk", **change}
    with pytest.raises(SampleError, match=words):
        processor.read(row, max_pixels=1)
    with pytest.raises(SampleError, match="without the column age, job"):
        processor.read({"height": 1.7}, max_pixels=1)
    with pytest.raises(SampleError, match="no row of columns"):
        processor.read([31, 1.7, "clerk"], max_pixels=1)


def test_all_columns_that_do_not_fit_are_refused_at_once() -> None:
    processor = fitted()
    with pytest.raises(SampleError) as caught:
        processor.read({"age": "31", "job": 1.5, "town": "Rome"}, max_pixels=1)
    for words in (
        "without the column height",
        "does not know: town",
        "not a number in the column age",
        "not a category in the column job",
    ):
        assert words in caught.value.what
    assert "'31'" in str(caught.value.got)
    many = {f"x{number}": 1 for number in range(12)}
    with pytest.raises(SampleError, match=", ".join(sorted(many))):
        processor.read({**many, **ROWS[1]}, max_pixels=1)


def test_rare_and_new_categories_are_unknown_and_said() -> None:
    rows = [{"job": "rare" if k == 0 else "clerk", "is_new": k % 2 == 0} for k in range(10)]
    named = [{**row, "is_new": str(row["is_new"]).lower()} for row in rows]
    processor = fitted(rows=named, min_frequency=2)
    assert processor.inputs() == ("categories",)
    samples_ = [processor.read(row, max_pixels=1) for row in (rows[0], {"job": "smith", "is_new": "TRUE"}, rows[1])]
    assert [one["categories"].tolist() for one in samples_] == [[0, 3], [0, 3], [2, 2]]
    answers = processor.answer(
        lambda name, feed: {"probabilities": np.full((3, 2), 0.5, np.float32)}, samples_, ["no", "yes"], None
    )
    assert [answer["unknown_categories"] for answer in answers] == [["job"], ["job"], []]
    described = CLASSIFICATION.describe_prepared(
        {"categories": np.stack([one["categories"] for one in samples_]), "labels": np.zeros(3, np.int64)}
    )
    assert tuple(described) == CLASSIFICATION.prepared_columns
    assert described["unknown_categories"].tolist() == [1, 1, 0]


def test_numbers_alone_and_a_null_that_was_announced() -> None:
    rows = [{"a": k, "b": -k} for k in range(20)]
    assert fitted(rows=rows).inputs() == ("numbers",)
    processor = fitted(rows=rows, may_be_missing=["b"])
    assert processor.read({"a": 1, "b": None}, max_pixels=1)["categories"].tolist() == [1]
    with pytest.raises(UsageError, match="no such column"):
        fitted(rows=rows, may_be_missing=["c"])
    with pytest.raises(UsageError, match="no value in train in the column b"):
        fitted(rows=[{"a": k, "b": None} for k in range(20)])


def test_targets_are_scaled_and_answered_in_their_units() -> None:
    processor = fitted(REGRESSION)
    truth = 3.0 * np.arange(30) + 100
    scaled = np.stack([one["target"] for one in processor.encode(samples(REGRESSION))])
    np.testing.assert_allclose(scaled[:, 0], (truth - truth.mean()) / truth.std(), atol=1e-6)
    read = [processor.read(row, max_pixels=1) for row in ROWS]
    answers = processor.answer(lambda name, feed: {"value": scaled}, read, [], None)
    np.testing.assert_allclose([answer["value"] for answer in answers], truth, rtol=1e-6)
    assert REGRESSION.agree(answers[3], {"value": answers[3]["value"] * 1.0005})
    assert not REGRESSION.agree(answers[3], answers[4])
    equal = [RawSample({"row": row, "target": np.array([7.0])}, {}) for row in ROWS]
    with pytest.raises(SampleError, match="all targets of train are equal"):
        REGRESSION.fit(TabularSettings(), iter(equal), [])


def test_a_sample_is_described_by_its_columns() -> None:
    described = REGRESSION.describe({"row": ROWS[0], "target": np.array([2.0])})
    assert described == {"missing": 1, "target": 2.0, "row.age": 20.0, "row.height": None, "row.job": "clerk"}
    assert tuple(described)[:2] == REGRESSION.raw_columns
    assert CLASSIFICATION.preview({"row": ROWS[0]}) == "age 20, height -, job clerk"
