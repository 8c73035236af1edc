"""Expectations drafted from a profile: counts and labels as observed, ranges with a margin, no defects.

What is a defect (`DEFECTS`) is expected of no sample, whatever the data holds: validation then refuses the data, and a
person corrects it, or accepts it in expectations.json. What preparation leaves out by itself (boxes without area,
copies across splits) is expected as often as observed; what almost all samples have is expected with `mostly`.
"""

from __future__ import annotations

import math

import numpy as np

from components.core.errors import SourceError
from components.drafting import feature_expectations, series, steps
from components.drafting.expectation import Expectation, range_text
from components.drafting.expectation import expectation as _expectation
from components.drafting.expectation import mostly as _mostly
from components.drafting.expectation import rounded as _rounded
from components.drafting.profile import Profile
from components.tasks.task import Task

SPLITS = ("test", "train", "validation")
MARGIN = 0.25  # of a range, added on both sides
MIN_SHARE = 0.9  # a boolean column with an equal value in this share of the samples gets an expectation
REQUIRED = ("readable", "valid", "finite")  # endings of boolean columns that must be true
NEXT_STEPS = {
    "readable": "mend the files",
    "valid": "mend the files; texts are to be in UTF-8, or in the `encoding:` of their layout",
    "finite": "fill in the missing values",
}
FINITE = "no value is missing (`missing: forward_fill` in a layout with a time repeats the value of the row before)"
MOST_LABELS = 1000
# Endings of columns that tell a defect, and the value without it.
DEFECTS = {"readable": True, "valid": True, "constant": False, "empty": False, "silent": False, "outside": 0}
_WORDS = {
    "missing": "the number of missing values",
    "same": "equal in source and target",
    "outside": "the number of boxes that reach beyond the image",
}
EVERYWHERE = 3  # a class of fewer samples cannot be in train, validation and test
CONFLICTS = 0.01  # largest share of samples with a doubtful label that a draft accepts


def expectations(task: Task, profile: Profile, where: str) -> dict[str, list[Expectation]]:
    """`expectations.json`.

    Args:
        where: name of the source in messages.

    Raises:
        SourceError: more than one sample in ten is unreadable, not text, or has NaN.
    """
    return {"raw": _raw(task, profile, where), "prepared": _prepared(task, profile)}


def _raw(task: Task, profile: Profile, where: str) -> list[Expectation]:
    result = [
        _expectation("expect_table_row_count_to_equal", "all samples have arrived", value=profile.samples),
        _expectation("expect_column_values_to_not_be_null", "every sample has an id", column="id"),
        _expectation("expect_column_values_to_be_unique", "ids are unique", column="id"),
        *_label_expectations(profile),
    ]
    splits = sorted(name for name in profile.splits if name)
    if splits and "" not in profile.splits:
        result.append(
            _expectation(
                "expect_column_distinct_values_to_equal_set",
                "the source's own splits",
                column="split",
                value_set=splits,
            )
        )
    for column in task.raw_columns:
        if column == "time_seconds":
            result += _time_expectations(profile)
        elif column == "target":
            result += feature_expectations.target(profile)
        elif (expectation := _column_expectation(column, profile, where)) is not None:
            result.append(expectation)
    result += feature_expectations.raw(profile)
    result.append(
        _duplicates("in_other_split", "no sample is in two splits of the source", profile.share(profile.content_splits))
    )
    if profile.labels or "labels" in task.fields:
        share = profile.share(profile.content_labels)
        accepted = share if share <= CONFLICTS or getattr(task, "equal_samples_differ", False) else 0.0
        result.append(_duplicates("label_conflict", "equal samples have equal labels", accepted))
    max_copies = max(profile.copies.values())
    description = "no sample occurs twice" if max_copies == 1 else f"no sample occurs more than {max_copies} times"
    result.append(_between("copies", description, maximum=max_copies))
    return result


def _prepared(task: Task, profile: Profile) -> list[Expectation]:
    result = [
        _expectation("expect_column_values_to_be_unique", "no sample occurs twice", column="id"),
        _expectation(
            "expect_column_distinct_values_to_equal_set",
            "there are three splits",
            column="split",
            value_set=list(SPLITS),
        ),
        _duplicates("in_other_split", "no sample of the test or validation split is in train", 0.0),
    ]
    if profile.labels:
        description = "every class is in every split"
        result += [
            *_label_expectations(profile),
            _expectation(
                "expect_column_values_to_be_in_set", description, column="label_in_every_split", value_set=[True]
            ),
        ]
    elif "labels" in task.fields and min(profile.classes.values(), default=0) >= EVERYWHERE:
        kind, column = "expect_column_values_to_be_in_set", "label_in_every_split"
        result.append(_expectation(kind, "every label is in every split", column=column, value_set=[True]))
    return result + feature_expectations.prepared(task)


def _label_expectations(profile: Profile) -> list[Expectation]:
    if not 0 < len(profile.labels) <= MOST_LABELS:
        return []
    description = "the labels are exactly the known classes"
    names = sorted(profile.labels)
    return [_expectation("expect_column_distinct_values_to_equal_set", description, column="label", value_set=names)]


def _column_expectation(column: str, profile: Profile, where: str) -> Expectation | None:
    """A boolean: its most frequent value; a constant integer: its value; other numbers: their range with a margin."""
    values = profile.columns.get(column, [])
    if values and all(isinstance(value, bool) for value in values):
        majority = values.count(True) * 2 >= len(values)
        share = values.count(majority) / len(values)
        if column.endswith(REQUIRED) and (not majority or share < MIN_SHARE):
            true_count = values.count(True)
            raise SourceError(
                f"too many samples are not {column.replace('_', ' ')}",
                where=where,
                got="; ".join([f"{true_count:,} of {len(values):,} are", *profile.unreadable_notes()]),
                expected=f"at least {MIN_SHARE:.0%}",
                next_step=NEXT_STEPS[next(end for end in REQUIRED if column.endswith(end))],
            )
        if column.endswith("finite"):  # preparation takes no NaN, so that not even a few samples may have one
            return _expectation("expect_column_values_to_be_in_set", FINITE, column=column, value_set=[True])
        for ending, right in DEFECTS.items():
            if column.endswith(ending):
                majority, share = bool(right), 1.0
        if share < MIN_SHARE:
            return None
        who = ("every sample" if majority else "no sample") if share == 1 else _nearly(majority)
        return _expectation(
            "expect_column_values_to_be_in_set", f"{who} is {_words(column)}", _mostly(share), column=column,
            value_set=[majority],
        )  # fmt: skip
    numbers = profile.numbers(column)
    if not numbers:
        return None
    if column in DEFECTS:
        description = f"{_words(column)} is {DEFECTS[column]} in every sample"
        return _between(column, description, maximum=float(DEFECTS[column]))
    if column == "level_span":
        description = "the levels of an image span at least half of the smallest span that was seen"
        return _between(column, description, minimum=math.floor(min(numbers) / 2))
    all_integers = all(number == int(number) for number in numbers)
    share = len(numbers) / len(values)
    numbers, is_cut = _without_far(numbers, profile) if column in ("minimum", "maximum") else (numbers, False)
    low, high = min(numbers), max(numbers)
    if all_integers and low == high:
        return _expectation(
            "expect_column_values_to_be_in_set", f"{_words(column)} is {int(low):,} in every sample", _mostly(share),
            column=column, value_set=[int(low)],
        )  # fmt: skip
    margin = MARGIN * (high - low)
    lower = max(0.0, low - margin) if low >= 0 else low - margin
    upper = high + margin
    bounds = (math.floor(lower), math.ceil(upper)) if all_integers else (_rounded(lower, down=True),
                                                                         _rounded(upper, down=False))  # fmt: skip
    return _between(column, range_text(_words(column), bounds, (low, high), is_cut), *bounds, **_mostly(share))


def _words(column: str) -> str:
    """A column of the sample table in words."""
    return _WORDS.get(column, column.replace("_", " "))


def _nearly(majority: bool) -> str:
    return "nearly every sample" if majority else "nearly no sample"


def _time_expectations(profile: Profile) -> list[Expectation]:
    """Every time can be read, the times rise, and the steps between them follow their rule, gaps or not."""
    seconds = profile.numbers("time_seconds")
    result = [
        _expectation("expect_column_values_to_not_be_null", "every time can be read", column="time_seconds"),
        _expectation(
            "expect_column_values_to_be_increasing",
            "the rows are in the order of time",
            column="time_seconds",
            strictly=True,
        ),
    ]
    rule = steps.usual(seconds)
    if rule is not None:
        description = f"{rule.text}; a longer step is a gap"
        result.append(_between("step_seconds", description, minimum=rule.low, maximum=rule.high))
    return result


def _without_far(numbers: list[float], profile: Profile) -> tuple[list[float], bool]:
    """The numbers of a series in time without those far from all others, such as -999 for a missing value."""
    if "time_seconds" not in profile.columns:
        return numbers, False
    away = {value for value, _ in series.far(np.array(numbers))}
    return [number for number in numbers if number not in away], bool(away)


def _duplicates(column: str, description: str, share: float) -> Expectation:
    """Expect a false column, with `mostly` if it is true for this share of the samples."""
    if share:
        description = f"{description}, except for the {share:.2%} that were seen"
    kind = "expect_column_values_to_be_in_set"
    return _expectation(kind, description, _mostly(1 - share), column=column, value_set=[False])


def _between(
    column: str, description: str, minimum: float | None = None, maximum: float | None = None, **mostly: float
) -> Expectation:
    bounds = {name: value for name, value in (("min_value", minimum), ("max_value", maximum)) if value is not None}
    return _expectation("expect_column_values_to_be_between", description, mostly, column=column, **bounds)
