"""The time of the samples of a table that are no series: by it, a person can have the newest samples as test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from components.drafting import column_roles
from components.drafting.cells import Column
from components.drafting.table_files import Files
from components.ingestion import times


class SampleTime(NamedTuple):
    """Keys of the layout for the time of the samples, and what a person should know; no key if there is no such time.

    Args:
        left_out: the columns that are not read, and why, without the column of the time.
    """

    keys: dict[str, Any]
    notes: list[str]
    left_out: list[tuple[str, str]]


def find(
    table: Files, columns: Sequence[Column], layout: dict[str, Any], left_out: list[tuple[str, str]]
) -> SampleTime:
    """The first of the columns that are left out whose every cell is a time."""
    nothing = SampleTime({}, [], left_out)
    has_truth = any(layout.get(key) is not None for key in ("label", "labels", "target"))
    if "time" in layout or not has_truth or "pixels" in layout:
        return nothing
    names = {name for name, _ in left_out}
    candidates = [column for column in columns if column.name in names and all(column.cells)]
    found = column_roles.time(table, candidates) if candidates else None
    if found is None or found[1].problem is not None:
        return nothing
    column, recognised = found
    if not all(times.parse(cell, recognised.format) is not None for _, (cell,) in table.rows([column.name])):
        return nothing  # reading would refuse the row
    keys = {"time": column.name, **({"time_format": recognised.format} if recognised.format is not None else {})}
    note = (
        f"{column.name} is the time of a sample; the splits are drawn at random: "
        f"`split: {{by: time, time_column: {column.name}}}` makes the newest samples validation and test"
    )
    rest = [(name, reason) for name, reason in left_out if name != column.name]
    return SampleTime(keys, [*([recognised.note] if recognised.note else []), note], rest)
