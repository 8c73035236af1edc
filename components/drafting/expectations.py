"""Expectations drafted from a profile: counts and labels as they are, ranges with some room.

What is true of almost all samples is expected with `mostly`, a little below its present share: a person decides whether
to correct the data or the expectation.
"""

from __future__ import annotations

import math
from typing import Any

from components.core.errors import SourceError
from components.drafting.profile import Profile
from components.tasks.task import Task

Expectation = dict[str, Any]

SPLITS = ("test", "train", "validation")
ROOM = 0.25  # of a range, on both sides
USUAL = 0.9  # a boolean that is equal in this share of the samples is expected to be so
SOUND = ("readable", "valid", "finite")  # booleans that must be true, whatever the samples say
MOST_LABELS = 1000
ALIKE = 0.05  # share of samples that may become equal arrays where the input is lossy


def expectations(task: Task, profile: Profile, where: str) -> dict[str, list[Expectation]]:
    """`expectations.json`.

    Args:
        where: name of the source in messages.

    Raises:
        SourceError: more than one sample in ten is unreadable, no text, or has NaN.
    """
    return {"raw": _raw(task, profile, where), "prepared": _prepared(task, profile)}


def _raw(task: Task, profile: Profile, where: str) -> list[Expectation]:
    found = [
        _of("expect_table_row_count_to_equal", "all samples have arrived", value=profile.samples),
        _of("expect_column_values_to_not_be_null", "every sample has an id", column="id"),
        _of("expect_column_values_to_be_unique", "ids are unique", column="id"),
        *_labels(profile),
    ]
    named = sorted(name for name in profile.splits if name)
    if named and "" not in profile.splits:
        found.append(
            _of(
                "expect_column_distinct_values_to_equal_set", "the source's own splits", column="split", value_set=named
            )
        )
    for column in task.raw_columns:
        expected = _of_column(column, profile, where)
        if expected is not None:
            found.append(expected)
    found.append(
        _duplicates(
            "in_other_split", "no sample stands in two splits of the source", profile.share(profile.content_splits)
        )
    )
    if profile.labels:
        found.append(
            _duplicates("label_conflict", "equal samples have equal labels", profile.share(profile.content_labels))
        )
    most = max(profile.copies.values())
    description = "no sample is there twice" if most == 1 else f"no sample is there more than {most} times"
    found.append(_between("copies", description, maximum=most))
    return found


def _prepared(task: Task, profile: Profile) -> list[Expectation]:
    found = [
        _of("expect_column_values_to_be_unique", "no sample is there twice", column="id"),
        _of(
            "expect_column_distinct_values_to_equal_set",
            "there are three splits",
            column="split",
            value_set=list(SPLITS),
        ),
        _duplicates(
            "in_other_split",
            "no sample of the test or validation split is in train",
            max(profile.share(profile.content_splits), ALIKE if task.input_type.lossy else 0.0),
        ),
    ]
    if profile.labels:
        description = "every class is in every split"
        found += [
            *_labels(profile),
            _of("expect_column_values_to_be_in_set", description, column="label_in_every_split", value_set=[True]),
        ]
    return found


def _labels(profile: Profile) -> list[Expectation]:
    if not 0 < len(profile.labels) <= MOST_LABELS:
        return []
    description = "the labels are the known classes, all of them"
    names = sorted(profile.labels)
    return [_of("expect_column_distinct_values_to_equal_set", description, column="label", value_set=names)]


def _of_column(column: str, profile: Profile, where: str) -> Expectation | None:
    """A yes or no as it usually is; one whole number as it is; any other number within its range."""
    values = profile.columns.get(column, [])
    if values and all(isinstance(value, bool) for value in values):
        usual = values.count(True) * 2 >= len(values)
        share = values.count(usual) / len(values)
        if column.endswith(SOUND) and (not usual or share < USUAL):
            good = values.count(True)
            raise SourceError(
                f"too many samples are not {column.replace('_', ' ')}",
                where=where,
                got=f"{good:,} of {len(values):,} are",
                expected=f"at least {USUAL:.0%}",
                next_step="mend the files; texts are to be in UTF-8",
            )
        if share < USUAL:
            return None
        description = column if usual else f"not {column}"
        return _of(
            "expect_column_values_to_be_in_set", f"every sample is {description.replace('_', ' ')}", _mostly(share),
            column=column, value_set=[usual],
        )  # fmt: skip
    numbers = profile.numbers(column)
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    whole = all(number == int(number) for number in numbers)
    description = column.replace("_", " ")
    share = len(numbers) / len(values)
    if whole and low == high:
        return _of(
            "expect_column_values_to_be_in_set", f"{description} as it is everywhere", _mostly(share),
            column=column, value_set=[int(low)],
        )  # fmt: skip
    if column == "time_seconds":
        description = "the rows are in the order of time"
        return _of("expect_column_values_to_be_increasing", description, column=column, strictly=True)
    room = ROOM * (high - low)
    least = max(0.0, low - room) if low >= 0 else low - room
    bounds = (math.floor(least), math.ceil(high + room)) if whole else (_rounded(least, down=True),
                                                                        _rounded(high + room, down=False))  # fmt: skip
    return _between(column, f"{description} within what was profile, and a quarter more", *bounds, **_mostly(share))


def _duplicates(column: str, description: str, share: float) -> Expectation:
    """The column is false, with `mostly` where it is true for this share of the samples."""
    if share:
        description = f"{description}, but for a few"
    kind = "expect_column_values_to_be_in_set"
    return _of(kind, description, _mostly(1 - share), column=column, value_set=[False])


def _between(
    column: str, description: str, minimum: float | None = None, maximum: float | None = None, **mostly: float
) -> Expectation:
    bounds = {name: value for name, value in (("min_value", minimum), ("max_value", maximum)) if value is not None}
    return _of("expect_column_values_to_be_between", description, mostly, column=column, **bounds)


def _of(kind: str, description: str, mostly: dict[str, float] | None = None, **arguments: Any) -> Expectation:
    return {"type": kind, "kwargs": {**arguments, **(mostly or {})}, "description": description}


def _mostly(share: float) -> dict[str, float]:
    """A little below a share of less than all."""
    return {} if share >= 1 else {"mostly": max(0.0, math.floor(share * 990) / 1000)}


def _rounded(value: float, *, down: bool) -> float:
    """To three digits, away from the middle."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{(math.floor if down else math.ceil)(value / unit) * unit:.6g}")
