"""Truths told later: late, double, contradicting, unknown; figures with intervals against scipy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pytest
from scipy import stats

from components.contracts.prediction_log import answered_at
from components.inference import told_truth
from components.monitoring import labels, live_quality, log_reader, quality

ROLES = ("champion", "shadow")
NOW = 1_790_000_000


def name(number: int) -> str:
    return f"{NOW:08x}-{number:016x}"


def predictions(outputs: list[dict[str, Any]], roles: tuple[str, ...] = ("champion",)) -> pa.Table:
    rows = [
        {
            "id": name(number), "index": 0, "time": pd.Timestamp(NOW, unit="s", tz="UTC"), "latency_ms": 1.0,
            "model": "m", "version": str(place + 1), "package": "p", "role": role, "output": json.dumps(output),
        }
        for number, output in enumerate(outputs)
        for place, role in enumerate(roles)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, log_reader.FACTS)


def told(number: int, truth: Any, at: float | None = None, arrived: float = NOW + 60) -> dict[str, Any]:
    return {"id": name(number), "index": 0, "truth": json.dumps(truth), "at": at, "arrived": arrived}


def test_the_last_truth_counts_and_what_was_odd_is_counted() -> None:
    feedback = [
        told(0, "a"), told(0, "a"),  # double
        told(1, "a", at=NOW + 50), told(1, "b", at=NOW + 40),  # contradicting, and the earlier one came later
        told(2, "a", at=NOW + 31 * 86_400),  # late
        told(9, "a"), told(9, "b"),  # unknown
    ]  # fmt: skip
    found = labels.join(predictions([{"label": "a"}] * 5, ROLES), feedback)
    assert found.counts == labels.JoinCounts(6, 4, 1, 1, 1, 1)
    truths = {(row.id, row.role): row.truth for row in found.table.itertuples()}
    assert truths == {(name(number), role): "a" for number in range(3) for role in ROLES}
    assert found.table["output"].tolist() == [{"label": "a"}] * 6


def test_equal_truths_of_other_spelling_are_double() -> None:
    feedback = [told(0, {"a": 1, "b": 2}), {**told(0, None), "truth": '{"b": 2, "a": 1}'}]
    assert labels.join(predictions([{"text": "x"}]), feedback).counts.double == 1


def test_figures_by_version_and_role_with_their_intervals() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(200) < 0.8
    outputs = [{"label": "yes" if one else "no"} for one in right]
    joined = labels.join(predictions(outputs, ROLES), [told(number, "yes") for number in range(200)])
    figures = live_quality.figures(joined.table)
    assert [(one.version, one.role, one.metric, one.samples) for one in figures] == [
        ("1", "champion", "accuracy", 200), ("2", "shadow", "accuracy", 200),
    ]  # fmt: skip
    expected = stats.binomtest(int(right.sum()), 200).proportion_ci(method="wilson")
    assert figures[0][3:6] == pytest.approx((right.mean(), expected.low, expected.high))


@pytest.mark.slow
def test_the_interval_of_an_error_holds_the_true_one_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        outputs = [{"value": float(value)} for value in rng.normal(scale=2.0, size=80)]
        (figure,) = live_quality.figures(
            labels.join(predictions(outputs), [told(number, 0) for number in range(80)]).table
        )
        held += figure.low <= 2.0 <= figure.high
    assert 270 <= held <= 297


@pytest.mark.parametrize(
    ("output", "truth", "expected"),
    [
        ({"label": "3"}, 3, ("accuracy", 1.0)), ({"labels": ["b", "a"]}, ["a", "b"], ("accuracy", 1.0)),
        ({"labels": []}, ["a"], ("accuracy", 0.0)), ({"value": 2.0}, 4, ("rmse", 4.0)),
        ({"text": "x"}, "x", ("accuracy", 1.0)), ({"label": "a"}, ["a"], None), ({"value": 1.0}, "one", None),
        ({"boxes": []}, [], None),
    ],
)  # fmt: skip
def test_scores(output: dict[str, Any], truth: Any, expected: tuple[str, float] | None) -> None:
    assert live_quality.score(output, truth) == expected


def test_when_a_prediction_was_made_is_in_its_id() -> None:
    assert answered_at(name(5)) == NOW


def test_the_truth_that_was_found_out_last_counts_whatever_the_order_of_the_lines() -> None:
    lines = [told(0, "a", at=NOW + 10), told(0, "a", at=NOW + 310), told(0, "b", at=NOW + 210)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        found = labels.join(predictions([{"label": "a"}]), [lines[place] for place in order])
        assert found.table["truth"].tolist() == ["a"]
        assert found.counts.contradicting == 1


@pytest.mark.parametrize(
    ("truth", "label", "classes", "right"),
    [
        (1.2, "1.20", ["1.10", "1.20"], True),  # as CSV and pandas leave a class of digits
        ("7.0", "7", ["6", "7"], True),
        (7.0, "7", ["6", "7"], True),
        (7, "7", ["6", "7"], True),
        (7.0, "6", ["6", "7"], False),
        ("1.2", "1.2", ["1.2", "1.20"], True),
        (1.20, "1.20", ["1.2", "1.20"], False),  # ambiguous: as it is written
        ("yes", "yes", [], True),
    ],
)
def test_a_class_that_looks_like_a_number(truth: Any, label: str, classes: list[str], right: bool) -> None:
    output = {"label": label, "probabilities": dict.fromkeys(classes, 0.5)}
    assert live_quality.score(output, truth) == live_quality.Score("accuracy", float(right))
    several = live_quality.score({"labels": [label], "scores": dict.fromkeys(classes, 0.5)}, [truth])
    assert several == live_quality.Score("accuracy", float(right))


def test_a_number_may_be_told_as_its_text() -> None:
    assert live_quality.score({"value": 2.0}, "1.50") == live_quality.Score("rmse", 0.25)
    assert live_quality.score({"value": 2.0}, "many") is None


def test_truths_that_are_all_of_another_kind_are_counted() -> None:
    table = labels.join(predictions([{"label": "a"}] * 2), [told(0, [1]), told(1, {"b": 2})]).table
    assert live_quality.figures(table) == []
    assert live_quality.unscored(table) == 2


ODDS = {"label": "class", "probabilities": {"class": 0.9, "other": 0.1}}
SCORES = {"labels": ["a"], "scores": {"a": 0.9, "b": 0.2}}


def test_a_truth_of_no_known_class_is_neither_right_nor_wrong() -> None:
    joined = labels.join(
        predictions([ODDS] * 4 + [SCORES]),
        [told(0, "class"), told(1, "Class"), told(2, "nonsense"), told(3, ["class"]), told(4, ["a", "c"])],
    ).table
    (figure,) = live_quality.figures(joined)
    assert (figure.value, figure.samples, figure.unscored, figure.unknown) == (1.0, 1, 1, 3)
    assert live_quality.unscored(joined) == 1
    counts = live_quality.unknown_counts(joined)
    assert counts == {"Class": 1, "nonsense": 1, "c": 1}
    note = live_quality.unknown_note(counts, live_quality.known_classes(joined["output"]))
    assert note is not None
    assert note.startswith("3 truths are of no known class")
    assert "Class (1, nearest class)" in note
    assert "nonsense (1)" in note
    assert live_quality.unknown_note({}, []) is None
    rows = joined.assign(output=[json.dumps(one) for one in joined["output"]])
    assert quality.unknown_note(rows, joined["truth"].tolist()) == note  # as in the verdict of a window
    assert quality.unknown_note(rows, [None] * 5) is None


def test_a_class_that_another_version_knows_is_a_wrong_answer_of_the_version_that_lacks_it() -> None:
    newer = {"label": "new", "probabilities": {"class": 0.1, "new": 0.9}}
    both = pa.concat_tables([
        predictions([ODDS] * 3),
        predictions([newer] * 3, ROLES).filter(pa.compute.field("role") == "shadow"),
    ])  # fmt: skip
    joined = labels.join(both, [told(number, "new") for number in range(3)]).table
    assert [(one.role, one.value, one.unknown) for one in live_quality.figures(joined)] == [
        ("champion", 0.0, 0), ("shadow", 1.0, 0),
    ]  # fmt: skip
    assert live_quality.comparisons(joined)[0].difference == 1.0


@pytest.mark.parametrize(
    ("name", "expected"), [("Class", "class"), (" other ", "other"), ("clas", "class"), ("zebra", None), ("", None)]
)
def test_the_nearest_class_of_a_slip(name: str, expected: str | None) -> None:
    assert told_truth.nearest(name, ["class", "other"]) == expected


def test_the_known_classes_of_a_schema() -> None:
    one = {"properties": {"label": {"enum": ["x", "y"]}, "set": {"items": {"enum": ["x", "y"]}}}}
    several = {"properties": {"labels": {"items": {"enum": ["x"]}}}}
    spans = {"properties": {"spans": {"items": {"properties": {"label": {"enum": ["P"]}}}}}}
    assert told_truth.of_schema(one) == told_truth.KnownClasses("label", ("x", "y"))
    assert told_truth.of_schema(several) == told_truth.KnownClasses("labels", ("x",))
    found = told_truth.of_schema(spans)
    assert found == told_truth.KnownClasses("spans", ("P",))
    assert told_truth.unknown_names([{"label": "P", "start": 1}, {"label": "Q"}], found) == ["Q"]
    assert told_truth.of_schema({"properties": {"value": {"type": "number"}}}) is None
