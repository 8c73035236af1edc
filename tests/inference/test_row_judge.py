"""The evaluator of the service agrees with Great Expectations on every row, for every type that it knows."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
import pytest

from components import tasks
from components.contracts.row_expectations import RowExpectation, RowSuite
from components.core.errors import CorruptArtifactError
from components.inference.row_judge import _MAKERS, RowJudge
from components.tasks import row_suite

PREFIX = "expect_column_"
BETWEEN, IN_SET = f"{PREFIX}values_to_be_between", f"{PREFIX}values_to_be_in_set"
PATTERNS = [
    r"^\d{2,4}$", r"\w+\s\w", "^[A-Z][a-z]*$", "a|b$", "[$]", r"\.", r"^\S+$", r"^$", "[^0-9]", "(?:ab)+", r"\$", ".",
    "a.c", r"\bb\b", r"(?i)ABC", r"a(?=b)", r"\d$", r"\x61", "ü", r"\Z", r"^[\w\s]*$", r"\A\s", r"(?s)a.c",
    r"\u00a0", r"(?m)^c",
]  # fmt: skip
PAIRS = (f"{PREFIX}pair_values_a_to_be_greater_than_b", f"{PREFIX}pair_values_to_be_equal")


def _cases() -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    for low, high in ((0, 1), (None, 5), (-3, None), (2.5, 2.5), (-1e300, 1e300)):
        bounds = {"min_value": low, "max_value": high}
        found += [(BETWEEN, {**bounds, "strict_min": True, "strict_max": True})]
        found += [(BETWEEN, bounds)]
    sets: list[list[Any]] = [[1, 2, 3], [True], [0.1, 2.5], ["", "ü"], [1, "1"], []]
    found += [(kind, {"value_set": one}) for one in sets for kind in (IN_SET, f"{PREFIX}values_to_not_be_in_set")]
    found += [(f"{PREFIX}values_to_be_null", {}), (f"{PREFIX}values_to_not_be_null", {})]
    found += [(f"{PREFIX}value_lengths_to_equal", {"value": length}) for length in (0, 1, 3, 4)]
    found += [(f"{PREFIX}value_lengths_to_be_between", {"min_value": 1, "max_value": 4})]
    found += [(f"{PREFIX}value_lengths_to_be_between", {"max_value": 3})]
    found += [(f"{PREFIX}values_to_match_regex", {"regex": one}) for one in PATTERNS]
    found += [(f"{PREFIX}values_to_not_match_regex", {"regex": one}) for one in PATTERNS[::6]]
    for match_on in ("any", "all"):
        found.append((f"{PREFIX}values_to_match_regex_list", {"regex_list": PATTERNS[:4], "match_on": match_on}))
    found += [(f"{PREFIX}values_to_not_match_regex_list", {"regex_list": PATTERNS[:3]})]
    found += [(PAIRS[0], {}), (PAIRS[0], {"or_equal": True}), (PAIRS[1], {})]
    return found


CASES = _cases()


def _texts(rng: random.Random) -> list[str]:
    signs = "ab1 \n\t٣üA.$0é\u00a0"
    return ["".join(rng.choices(signs, k=rng.randrange(6))) for _ in range(10)]


def _tables() -> list[list[Any]]:
    rng = random.Random(3)  # noqa: S311
    edges = [0.0, -0.0, 1.0, 2.5, 3.0, -3.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"), 0.1, 5.0]
    return [
        [*edges, *(rng.choice([rng.gauss(0, 3), 10 ** rng.uniform(-9, 9)]) for _ in range(7))],
        [0, 1, 2, 3, -3, 5, 6, 12, 2**62, -(2**62), 1234],
        [True, False],
        ["", "a", "1", "ü", "abc", "12", "12\n", "٣٤", "a b", "Abc", "m", "n", "b\n", "$", "a\nc", " ", "true", "1.0"],
        [*_texts(rng), None, "nan", "a" * 50], [True, None, False], [None, None],
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:This pattern is interpreted as:UserWarning")
@pytest.mark.parametrize("values", _tables(), ids=lambda values: f"{values[0]!r:.8}")
def test_every_row_is_judged_as_great_expectations_judges_it(values: list[Any]) -> None:
    from components.validation.outcome import ExpectationSpec
    from components.validation.suite import Suite

    others = [*values[1:], values[0]]
    table = pd.DataFrame({"id": [str(row) for row in range(len(values))], "x": pd.Series(values), "y": others})
    specs = []
    for kind, kwargs in CASES:
        columns = {"column_A": "x", "column_B": "y"} if kind in PAIRS else {"column": "x"}
        specs.append(ExpectationSpec(type=kind, kwargs={**columns, **kwargs}))
    theirs = Suite("raw", specs).judge(table, "d").results
    expectations = tuple(RowExpectation(type=one.type, arguments=one.kwargs) for one in specs)
    for expectation, result in zip(expectations, theirs, strict=True):
        judge = RowJudge(RowSuite(expectations=(expectation,)))
        missed = {one.sample for one in judge.judge({"x": values, "y": others}, len(values))}
        if result.error is not None:  # a text and a number cannot be compared: no row has met it
            failing = set(range(len(values)))
        else:
            assert result.failing_count == len(result.failing)
            failing = {int(one.id) for one in result.failing}
        assert missed == failing, (expectation.type, expectation.arguments, result.error)


def test_every_type_is_compared() -> None:
    assert {kind for kind, _ in CASES} == set(_MAKERS) == set(row_suite.ROW_TYPES)


def test_what_one_row_cannot_miss_is_left_out_with_its_reason() -> None:
    task = tasks.find("tabular-classification")
    document = {
        "raw": [
            {"type": BETWEEN, "kwargs": {"column": "row.age", "min_value": 0, "max_value": 109}, "description": "age"},
            {"type": "expect_table_row_count_to_equal", "kwargs": {"value": 3}},
            {"type": IN_SET, "kwargs": {"column": "label", "value_set": ["a"]}},
            {"type": IN_SET, "kwargs": {"column": "row.town", "value_set": ["x"], "mostly": 0.9}},
            {"type": IN_SET, "kwargs": {"column": "row.town", "value_set": ["x"], "row_condition": "a == 1"}},
            {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "row.town"}},
            {"type": "expect_column_values_to_be_of_type", "kwargs": {"column": "row.town", "type_": "str"}},
        ],
        "prepared": [
            {"type": BETWEEN, "kwargs": {"column": "class_number", "min_value": 0}},
            {"type": BETWEEN, "kwargs": {"column": "missing_values", "max_value": 1}},
            {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "missing_values", "max_value": 1}},
        ],
    }
    suite = row_suite.select(document, task)
    assert [one.columns for one in suite.expectations] == [("raw.row.age",), ("prepared.missing_values",)]
    assert [one.reason.split()[0] for one in suite.left_out] == [
        "are", "are", "hold", "have", "are", "are", "are", "are",
    ]  # fmt: skip
    assert suite.summary().startswith("2 of 10 expectations bound what the service accepts; left out: 3 are about all")
    missed = RowJudge(suite).judge({"raw.row.age": [30, 200, None]}, 3)
    assert [(one.sample, one.column, one.value, one.expected) for one in missed][:2] == [
        (1, "raw.row.age", 200, "0 to 109"), (2, "raw.row.age", None, "0 to 109"),
    ]  # fmt: skip
    assert sum(one.column == "prepared.missing_values" for one in missed) == 3  # a row without it was not judged


def test_an_expectation_that_is_not_known_is_no_bundle_of_ours() -> None:
    with pytest.raises(CorruptArtifactError):
        RowJudge(RowSuite(expectations=(RowExpectation(type="expect_nothing", arguments={"column": "x"}),)))
