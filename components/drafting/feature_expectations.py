"""Expectations on the columns of a table of features, drafted from a profile: nulls, ranges, known categories.

Numbers far from all others are no part of a range: if few samples have one, the rest is expected of the others; if
many, validation refuses the data until `missing_values` names the number, or a person accepts it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from components.drafting import series
from components.drafting.described_columns import NameValues
from components.drafting.expectation import Expectation, expectation, mostly, range_text, rounded
from components.drafting.profile import Profile
from components.tasks.task import Task

FEATURE = "row."  # begins the name of the column of a feature
MARGIN = 0.25  # of a range, added on both sides
FEW = 0.01  # largest share of samples with a number far from all others that a draft accepts
MOST_CATEGORIES = 200  # of a column whose categories are expected by name
UNKNOWN = "unknown_categories"
UNKNOWN_WORDS = "unknown_share"  # ends the names of columns of texts
MOST_UNKNOWN_WORDS = 0.5  # of a text
UNKNOWN_SHARE = 0.1  # of samples with a category that train does not know, or that is rare


def raw(profile: Profile) -> list[Expectation]:
    """For each column: missing values as rare as observed, numbers in their range, categories that are known."""
    found: list[Expectation] = []
    for column, values in profile.columns.items():
        if not column.startswith(FEATURE):
            continue
        name = column.removeprefix(FEATURE)
        missing = values.count(None)
        share = mostly((len(values) - missing) / len(values))
        text = "every sample has" if not missing else f"{1 - missing / len(values):.1%} of the samples have"
        found.append(expectation("expect_column_values_to_not_be_null", f"{text} a value of {name}", share,
                                  column=column))  # fmt: skip
        numbers = np.array(profile.numbers(column), np.float64)
        if len(numbers):
            found.append(_range(column, name, numbers, len(values)))
        elif len(names := _names(values)) <= MOST_CATEGORIES:
            found.append(expectation("expect_column_values_to_be_in_set", f"the categories of {name} are known ones",
                                      share, column=column, value_set=names))  # fmt: skip
    return found


def _names(values: Sequence[object]) -> list[str]:
    different = (
        values.names if isinstance(values, NameValues) else {str(value) for value in values if value is not None}
    )
    return sorted(different)


def target(profile: Profile) -> list[Expectation]:
    """Targets in their range; all samples have one."""
    numbers = np.array(profile.numbers("target"), np.float64)
    return [_range("target", "the target", numbers, profile.samples)] if len(numbers) else []


def prepared(task: Task) -> list[Expectation]:
    """Few samples have a category, and few texts have many words, that train does not know."""
    type_, share = "expect_column_values_to_be_between", {"mostly": 1 - UNKNOWN_SHARE}
    found = []
    if UNKNOWN in task.prepared_columns:
        description = "few samples have a category that train does not know, or knows too rarely"
        found.append(expectation(type_, description, share, column=UNKNOWN, max_value=0))
    for column in task.prepared_columns:
        if column.endswith(UNKNOWN_WORDS):
            description = "of few texts, train knows less than half of the words"
            found.append(expectation(type_, description, share, column=column, max_value=MOST_UNKNOWN_WORDS))
    return found


def _range(column: str, name: str, numbers: np.ndarray, total: int) -> Expectation:
    away = {value for value, _ in series.far(numbers)}
    near = numbers[~np.isin(numbers, list(away))] if away else numbers
    is_rare = 1 - len(near) / len(numbers) <= FEW
    counted = len(near) if is_rare else len(numbers)
    low, high = float(near.min()), float(near.max())
    margin = MARGIN * (high - low)
    lower = max(0.0, low - margin) if low >= 0 else low - margin
    whole = bool(np.all(near == np.round(near)))
    upper = high + margin
    if whole:
        bounds: tuple[float, float] = math.floor(lower), math.ceil(upper)
    else:
        bounds = rounded(lower, down=True), rounded(upper, down=False)
    text = range_text(name, bounds, (low, high), bool(away))
    return expectation(
        "expect_column_values_to_be_between", text, mostly(counted / total), column=column, min_value=bounds[0],
        max_value=bounds[1],
    )  # fmt: skip
