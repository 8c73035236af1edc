"""Judges rows of requests against the expectations of their training data, as Great Expectations judges a table of one
row, without it.

A row without a value has missed an expectation, but for those that are about missing values; so has a row whose value
cannot be compared with the bounds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from components.contracts.row_expectations import RowExpectation, RowSuite
from components.core.errors import CorruptArtifactError

Meets = Callable[[Any], bool]
Rows = Mapping[str, Sequence[Any]]


class Missed(NamedTuple):
    """An expectation that a sample misses.

    Args:
        sample: number of the sample in its request.
        column: of its row; of an expectation on two columns, both.
        value: in that column, as JSON.
        expected: the bound, in words.
    """

    sample: int
    type: str
    column: str
    value: Any
    expected: str
    description: str

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return self._asdict()


class _Rule(NamedTuple):
    columns: tuple[str, ...]
    meets: Meets
    expectation: RowExpectation
    expected: str


class RowJudge:
    """The expectations of a bundle, ready to judge.

    Raises:
        CorruptArtifactError: an expectation is none that can be judged here.
    """

    def __init__(self, suite: RowSuite) -> None:
        self._rules = [_rule(one) for one in suite.expectations]
        self.columns = frozenset(name for rule in self._rules for name in rule.columns)

    def judge(self, rows: Rows, count: int) -> list[Missed]:
        """What some rows miss.

        Args:
            rows: columns of `count` values by name; a column that is absent has no value in any row.
        """
        found: list[Missed] = []
        empty = [None] * count
        for columns, meets, expectation, expected in self._rules:
            if len(columns) == 1:
                values: Sequence[Any] = rows.get(columns[0], empty)
            else:
                values = list(zip(*(rows.get(name, empty) for name in columns), strict=True))
            for index, value in enumerate(values):
                if not meets(value):
                    missed = Missed(
                        index, expectation.type, ", ".join(columns), _plain(value), expected, expectation.description
                    )
                    found.append(missed)
        return found


def _rule(one: RowExpectation) -> _Rule:
    made = _MAKERS.get(one.type)
    try:
        if made is None:
            raise ValueError("no such expectation is judged here")
        meets, expected = made(one.arguments)
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise CorruptArtifactError("an expectation of the bundle cannot be read", where=one.type, got=error) from error
    return _Rule(one.columns, meets, one, expected)


def is_missing(value: Any) -> bool:
    """Whether a table has no value here."""
    return value is None or value != value


def _between(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    strict_low, strict_high = bool(kwargs.get("strict_min")), bool(kwargs.get("strict_max"))
    bounds = [bound for bound in (low, high) if bound is not None]
    if not bounds:
        raise ValueError("neither min_value nor max_value")
    if not all(isinstance(bound, int | float) for bound in bounds):
        raise ValueError("bounds that are no numbers")

    def meets(value: Any) -> bool:
        if value is None or isinstance(value, str) or value != value:
            return False
        if low is not None and not (value > low if strict_low else value >= low):
            return False
        return high is None or bool(value < high if strict_high else value <= high)

    return meets, _range(low, high, strict_low, strict_high)


def _range(low: Any, high: Any, strict_low: bool, strict_high: bool) -> str:
    above, below = "above" if strict_low else "at least", "below" if strict_high else "at most"
    if low is None or high is None:
        return f"{below} {high}" if low is None else f"{above} {low}"
    return f"{low} to {high}" if not (strict_low or strict_high) else f"{above} {low} and {below} {high}"


def _kinds(values: Sequence[Any]) -> tuple[frozenset[str], frozenset[float]]:
    """The members of a set that texts, and that numbers and truth values may be equal to."""
    texts = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(value for value in values if isinstance(value, int | float) and value == value)
    return texts, numbers


def _in_set(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    texts, numbers = _kinds(kwargs["value_set"])

    def meets(value: Any) -> bool:
        return value in (texts if isinstance(value, str) else numbers)

    return meets, f"one of {_listed(kwargs['value_set'])}"


def _not_in_set(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    texts, numbers = _kinds(kwargs["value_set"])

    def meets(value: Any) -> bool:
        return not is_missing(value) and value not in (texts if isinstance(value, str) else numbers)

    return meets, f"none of {_listed(kwargs['value_set'])}"


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, values[:12]))
    return shown + (f" and {len(values) - 12} more" if len(values) > 12 else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _lengths_between(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    within, words = _between(kwargs)
    return lambda value: not is_missing(value) and within(len(_text(value))), f"a length of {words}"


def _lengths_equal(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    length = kwargs["value"]
    return lambda value: not is_missing(value) and len(_text(value)) == length, f"a length of {length}"


def _regex(wanted: bool) -> Callable[[Mapping[str, Any]], tuple[Meets, str]]:
    def make(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
        search = re.compile(kwargs["regex"]).search
        words = "a match of" if wanted else "no match of"

        def meets(value: Any) -> bool:
            return not is_missing(value) and (search(_text(value)) is not None) is wanted

        return meets, f"{words} {kwargs['regex']}"

    return make


def _regex_list(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    searches = [re.compile(pattern).search for pattern in kwargs["regex_list"]]
    match_on = kwargs.get("match_on", "any")
    enough = {"any": any, "all": all}[match_on]

    def meets(value: Any) -> bool:
        return not is_missing(value) and enough(search(_text(value)) is not None for search in searches)

    return meets, f"a match of {match_on} of {_listed(kwargs['regex_list'])}"


def _no_regex_list(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    searches = [re.compile(pattern).search for pattern in kwargs["regex_list"]]

    def meets(value: Any) -> bool:
        return not is_missing(value) and all(search(_text(value)) is None for search in searches)

    return meets, f"no match of {_listed(kwargs['regex_list'])}"


def _not_null(_: Mapping[str, Any]) -> tuple[Meets, str]:
    return lambda value: value is not None and value == value, "a value"


def _null(_: Mapping[str, Any]) -> tuple[Meets, str]:
    return is_missing, "no value"


def _greater(kwargs: Mapping[str, Any]) -> tuple[Meets, str]:
    or_equal = bool(kwargs.get("or_equal"))

    def meets(pair: tuple[Any, Any]) -> bool:
        first, second = pair
        if is_missing(first) or is_missing(second) or isinstance(first, str) != isinstance(second, str):
            return False
        return bool(first >= second if or_equal else first > second)

    return meets, "the first greater than the second" + (", or equal" if or_equal else "")


def _equal(_: Mapping[str, Any]) -> tuple[Meets, str]:
    def meets(pair: tuple[Any, Any]) -> bool:
        first, second = pair
        return not is_missing(first) and not is_missing(second) and bool(first == second)

    return meets, "two equal values"


_MAKERS: Mapping[str, Callable[[Mapping[str, Any]], tuple[Meets, str]]] = {
    "expect_column_values_to_be_between": _between,
    "expect_column_values_to_be_in_set": _in_set,
    "expect_column_values_to_not_be_in_set": _not_in_set,
    "expect_column_values_to_not_be_null": _not_null,
    "expect_column_values_to_be_null": _null,
    "expect_column_value_lengths_to_be_between": _lengths_between,
    "expect_column_value_lengths_to_equal": _lengths_equal,
    "expect_column_values_to_match_regex": _regex(True),
    "expect_column_values_to_not_match_regex": _regex(False),
    "expect_column_values_to_match_regex_list": _regex_list,
    "expect_column_values_to_not_match_regex_list": _no_regex_list,
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": _equal,
}


def _plain(value: Any) -> Any:
    """A value as JSON has it: what is not finite as text, a long text shortened."""
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return f"{value[:80]}…" if isinstance(value, str) and len(value) > 80 else value
