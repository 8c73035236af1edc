"""Expectations drafted from what was seen: counts and labels as they are, ranges with a little room.

What is almost always so is expected with `mostly`, a little below its present share: a person decides whether the data
or the expectation is to be mended.
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
USUAL = 0.9  # a yes or no that is the same in so many samples is expected to be
SOUND = ("readable", "valid", "finite")  # what a sample is to be, whatever most of them are
MOST_LABELS = 1000
ALIKE = 0.05  # of texts may have the same tokens, where rare words are not told apart


def expectations(task: Task, seen: Profile, where: str) -> dict[str, list[Expectation]]:
    """`expectations.json`.

    Args:
        where: what a person calls the source, for messages.

    Raises:
        SourceError: one sample in ten cannot be read, is no text or holds NaN: nothing to draft expectations from.
    """
    return {"raw": _raw(task, seen, where), "prepared": _prepared(task, seen)}


def _raw(task: Task, seen: Profile, where: str) -> list[Expectation]:
    found = [
        _of("expect_table_row_count_to_equal", "all samples have arrived", value=seen.samples),
        _of("expect_column_values_to_not_be_null", "every sample has an id", column="id"),
        _of("expect_column_values_to_be_unique", "ids are unique", column="id"),
        *_labels(seen),
    ]
    named = sorted(name for name in seen.splits if name)
    if named and "" not in seen.splits:
        found.append(
            _of(
                "expect_column_distinct_values_to_equal_set", "the source's own splits", column="split", value_set=named
            )
        )
    for column in task.raw_columns:
        expected = _of_column(column, seen, where)
        if expected is not None:
            found.append(expected)
    found.append(_twins("in_other_split", "no sample stands in two splits of the source", seen.share(seen.homes)))
    if seen.labels:
        found.append(_twins("label_conflict", "equal samples have equal labels", seen.share(seen.names)))
    most = max(seen.copies.values())
    words = "no sample is there twice" if most == 1 else f"no sample is there more than {most} times"
    found.append(_between("copies", words, maximum=most))
    return found


def _prepared(task: Task, seen: Profile) -> list[Expectation]:
    found = [
        _of("expect_column_values_to_be_unique", "no sample is there twice", column="id"),
        _of(
            "expect_column_distinct_values_to_equal_set",
            "there are three splits",
            column="split",
            value_set=list(SPLITS),
        ),
        _twins(
            "in_other_split",
            "no sample of the test or validation split is in train",
            max(seen.share(seen.homes), ALIKE if task.input_kind == "tokens" else 0.0),
        ),
    ]
    if seen.labels:
        words = "every class is in every split"
        found += [
            *_labels(seen),
            _of("expect_column_values_to_be_in_set", words, column="label_in_every_split", value_set=[True]),
        ]
    return found


def _labels(seen: Profile) -> list[Expectation]:
    if not 0 < len(seen.labels) <= MOST_LABELS:
        return []
    words = "the labels are the known classes, all of them"
    names = sorted(seen.labels)
    return [_of("expect_column_distinct_values_to_equal_set", words, column="label", value_set=names)]


def _of_column(column: str, seen: Profile, where: str) -> Expectation | None:
    """A yes or no as it usually is; one whole number as it is; any other number within its range."""
    values = seen.looks.get(column, [])
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
        words = column if usual else f"not {column}"
        return _of(
            "expect_column_values_to_be_in_set", f"every sample is {words.replace('_', ' ')}", _mostly(share),
            column=column, value_set=[usual],
        )  # fmt: skip
    numbers = seen.numbers(column)
    if not numbers:
        return None
    low, high = min(numbers), max(numbers)
    whole = all(number == int(number) for number in numbers)
    words = column.replace("_", " ")
    share = len(numbers) / len(values)
    if whole and low == high:
        return _of(
            "expect_column_values_to_be_in_set", f"{words} as it is everywhere", _mostly(share),
            column=column, value_set=[int(low)],
        )  # fmt: skip
    if column == "time_seconds":
        words = "the rows are in the order of time"
        return _of("expect_column_values_to_be_increasing", words, column=column, strictly=True)
    room = ROOM * (high - low)
    least = max(0.0, low - room) if low >= 0 else low - room
    bounds = (math.floor(least), math.ceil(high + room)) if whole else (_rounded(least, down=True),
                                                                        _rounded(high + room, down=False))  # fmt: skip
    return _between(column, f"{words} within what was seen, and a quarter more", *bounds, **_mostly(share))


def _twins(column: str, words: str, share: float) -> Expectation:
    found = _of(
        "expect_column_values_to_be_in_set", words if not share else f"{words}, but for a few", _mostly(1 - share),
        column=column, value_set=[False],
    )  # fmt: skip
    return found


def _between(
    column: str, words: str, minimum: float | None = None, maximum: float | None = None, **mostly: float
) -> Expectation:
    bounds = {name: value for name, value in (("min_value", minimum), ("max_value", maximum)) if value is not None}
    return _of("expect_column_values_to_be_between", words, mostly, column=column, **bounds)


def _of(kind: str, words: str, mostly: dict[str, float] | None = None, **arguments: Any) -> Expectation:
    return {"type": kind, "kwargs": {**arguments, **(mostly or {})}, "description": words}


def _mostly(share: float) -> dict[str, float]:
    """A little below a share of less than all."""
    return {} if share >= 1 else {"mostly": max(0.0, math.floor(share * 990) / 1000)}


def _rounded(value: float, *, down: bool) -> float:
    """To three digits, away from the middle."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{(math.floor if down else math.ceil)(value / unit) * unit:.6g}")
