"""Recognise what the rows of a table are: images, texts, pixels, values or features, with labels; or texts alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SourceError
from components.drafting import (
    column_notes,
    column_roles,
    features,
    image_columns,
    label_column,
    label_keys,
    number_marks,
    series,
)
from components.drafting.cells import IDENTITIES, LABELS, Column
from components.drafting.draft_options import DraftOptions
from components.drafting.table_files import Files

_SHOWN = 3


def recognise(
    table: Files, columns: list[Column], marks: number_marks.Marks, source: Path, options: DraftOptions
) -> tuple[dict[str, Any], list[str], list[tuple[str, str]]]:
    """As `_labelled`, with the column that groups the samples, unless it is the only label."""
    group = column_roles.group(columns)
    if group is not None and group.name != options.label:
        others = [column for column in columns if column is not group]
        without_label = not any(map(options.allows, ("label", "labels", "target")))
        if without_label or options.label is not None or column_roles.label(others) is not None:
            layout, notes, left_out = _labelled(table, others, marks, source, options)
            note = f"samples of equal {group.name} are kept in one split"
            return {**layout, "group": group.name}, [*notes, note], left_out
    return _labelled(table, columns, marks, source, options)


def _labelled(
    table: Files, columns: list[Column], marks: number_marks.Marks, source: Path, options: DraftOptions
) -> tuple[dict[str, Any], list[str], list[tuple[str, str]]]:
    """Images, texts, pixels, values or features, with labels; or texts alone."""
    where = str(table.paths[0])
    image = image_columns.find(columns, table.paths[0], source) if not options.demands("row") else None
    if image is not None:
        others = _without(columns, image.name)
        label = _label(others, options, where) or _only_quantity(others, options)
        if label is None:
            raise _no_label(table, image.name, others)
        keys, notes = label_keys.find(table, label, options, marks)
        what = f"paths of images ({image.name}) and {label_keys.kind(keys)} ({label.name})"
        return {**image.keys, **keys}, [what, *notes], []
    text = column_roles.text(columns if options.label is None else _without(columns, options.label))
    is_table = features.is_one(columns, text, options)
    numbers = [column for column in columns if column.is_number and column.known not in IDENTITIES]
    are_values = options.demands("values") and len(numbers) > 1
    if text is not None and not is_table and not are_values:
        label = _label([column for column in columns if column is not text], options, where)
        if label is None:
            return {"text": text.name, "label": None}, [f"texts ({text.name}) without labels"], []
        keys, notes = label_keys.find(table, label, options, marks)
        return (
            {"text": text.name, **keys},
            [f"texts ({text.name}) and {label_keys.kind(keys)} ({label.name})", *notes],
            [],
        )
    label = _label(columns, options, where)
    values = [column for column in numbers if label is None or column.name != label.name]
    as_values = _values(table, values, label, marks, options) if label is not None else None
    if as_values is not None:
        return *as_values, []
    if is_table and (options.demands("row") or _has_features(columns, options)):
        found = features.recognise(table, columns, marks, options)
        keys, notes = label_keys.of_labels(table, found.label) if found.label is not None else ({}, [])
        return {**found.layout, **keys}, [*found.notes, *notes], found.left_out
    raise _unrecognised(table, columns)


def _values(
    table: Files, values: list[Column], label: Column, marks: number_marks.Marks, options: DraftOptions
) -> tuple[dict[str, Any], list[str]] | None:
    """Pixels or a series of values in the columns of a row, with a label; None if the columns are not of one kind."""
    if len(values) < 2 or options.demands("row"):
        return None
    prefix = column_roles.pixel_prefix(values)
    if prefix is not None and "comment" not in table.keys and "skip_lines" not in table.keys and table.kind == "csv":
        keys, notes = label_keys.find(table, label, options, marks)
        why = f"{column_notes.count(values)} of pixels and {label_keys.kind(keys)} ({label.name})"
        return {"pixels": prefix, **keys}, [why, *notes]
    names = [column.name for column in values]
    if not options.demands("values") and ("columns" in table.keys or not label_column.are_steps(names)):
        return None
    others = [column for column in table.names if column not in names and column != label.name]
    if not options.demands("values") and len(others) > len(values):
        return None
    keys, notes = label_keys.find(table, label, options, marks)
    matrix, words = _numbers(table, names, marks)
    layout = {
        "values": column_roles.numbered_prefix(names, table.names) or names,
        **marks.keys(values, table.paths[0]),
        **keys,
    }
    layout |= {"missing_values": list(words)} if words else {}
    what = f"{column_notes.count(values)} of numbers and {label_keys.kind(keys)} ({label.name})"
    why = f"{what}, which are read as a series of values in order"
    return layout, [why, *column_notes.of_words(words), *series.far_values(list(matrix.T), names), *notes]


def _has_features(columns: Sequence[Column], options: DraftOptions) -> bool:
    """Whether enough columns may be features: one beside a label that was named, else two beside another column."""
    usable = [column for column in columns if column.name != options.label and features.is_feature(column)]
    return len(usable) >= (1 if options.label is not None else 1 + features.FEWEST)


def _label(columns: Sequence[Column], options: DraftOptions, where: str) -> Column | None:
    """The column of the label: the one that was named, or one that looks like one."""
    if options.label is not None:
        return label_column.named(columns, options.label, where)
    found = column_roles.label(columns)
    if found is None and options.allows("target"):
        quantities = [column for column in columns if label_column.is_quantity(column)]
        if not options.demands("target"):
            quantities = [column for column in quantities if column.known in label_column.QUANTITIES]
        found = quantities[0] if len(quantities) == 1 else None
    return found


def _only_quantity(columns: Sequence[Column], options: DraftOptions) -> Column | None:
    """The only column of quantities, whatever its name: beside images, there is nothing else that it could be."""
    quantities = [column for column in columns if column.known not in IDENTITIES and label_column.is_quantity(column)]
    return quantities[0] if len(quantities) == 1 and options.allows("target") else None


def _no_label(table: Files, image: str, columns: Sequence[Column]) -> SourceError:
    names = ", ".join(column.name for column in columns)
    return SourceError(
        f"paths of images ({image}), and no column that is clearly their label or target",
        where=str(table.paths[0]),
        got=names or "no other column",
        expected="a column such as label or class, or a single column of quantities",
        next_step="name it: --label COLUMN" if columns else "add a column with the label of each image",
    )


def _without(columns: Sequence[Column], name: str) -> list[Column]:
    return [column for column in columns if column.name != name]


def _unrecognised(table: Files, columns: Sequence[Column]) -> SourceError:
    if mixed := number_marks.mixed(columns):
        return SourceError(
            "numbers that are written in several ways",
            where=str(table.paths[0]),
            got="; ".join(mixed[:_SHOWN]),
            expected="one decimal mark and one mark of thousands in the whole table",
            next_step="write all numbers alike, at best with a decimal point and without marks of thousands",
        )
    shown = ", ".join(table.names[:12])
    expected = "a label with a text, with numbers or with paths of images; texts; or a time with numbers"
    unread = [column for column in columns if column.words and column.known not in LABELS]
    odd = [f"{column.name}: {column_roles.why_left_out(column)}" for column in unread]
    return SourceError(
        "the columns are not recognised",
        where=str(table.paths[0]),
        got="; ".join([shown, *odd[:_SHOWN]]),
        expected=expected,
        next_step="mend these cells" if odd else None,
    )


def _numbers(
    table: Files, names: Sequence[str], marks: number_marks.Marks
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """The values (N, C) of all rows, and the number of cells of each word that stands for a missing value."""
    words: dict[str, int] = {}
    rows: list[NDArray[np.float64]] = []
    for where, cells in table.rows(names):
        try:
            rows.append(np.array([float(cell) for cell in cells]))
        except ValueError:
            rows.append(series.row_of(cells, names, where, marks.pair, words))
    return np.stack(rows) if rows else np.empty((0, len(names))), words
