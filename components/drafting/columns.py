"""Recognise the columns of a table: labels, texts, values, a time, pixels, images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SourceError
from components.drafting import (
    column_roles,
    dialect,
    encoding,
    features,
    image_columns,
    label_column,
    label_columns,
    nested_columns,
    number_marks,
    series,
    table_files,
)
from components.drafting.cells import IDENTITIES, LABEL_SETS, LABELS, Column
from components.drafting.draft_options import NO_OPTIONS, DraftOptions
from components.drafting.table_files import Files

UNLABELLED_SHARE = 0.1  # most rows without label that a draft leaves out
_SHOWN = 3
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")


class TableColumns(NamedTuple):
    """Recognised columns.

    Args:
        layout: keys of the layout, besides `files`; `kind` too where the file's name says another.
        why: how they were recognised, and what a person should know.
        left_out: columns that are not read, and why.
    """

    layout: dict[str, Any]
    why: str
    left_out: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """`why`, and what is left out."""
        left_out = "; ".join(f"{name or 'without a name'}: {reason}" for name, reason in self.left_out)
        return self.why + (f"; columns left out: {left_out}" if left_out else "")


def recognise(
    files: Path | Sequence[Path] | Mapping[str, Sequence[Path]],
    kind: str,
    source: Path | None = None,
    options: DraftOptions = NO_OPTIONS,
) -> TableColumns:
    """Recognise the columns of a sample from the first rows, and look through all rows for what contradicts them.

    Args:
        files: one file, files of one split, or the files of each split; all have the same columns.
        kind: csv, tsv, jsonl or parquet.
        source: folder in which images that a column names may be; default: the folder of the first file.
        options: the label or the task that a person named.

    Raises:
        SourceError: a table has no rows or cannot be read, its columns are not recognised, or the files differ.
    """
    if not isinstance(files, Mapping):
        files = {"": [files] if isinstance(files, Path) else list(files)}
    table = table_files.open_files(files, kind)
    columns, left_out = _present(table)
    layout, notes, no_features = _content(table, columns, source or table.paths[0].parent, options)
    left_out += no_features
    used = {layout.get(key) for key in ("time", "text", "label", "target", "image", "split", "group")}
    used |= {*(layout.get("numbers") or ()), *(layout.get("categories") or ()), *(name for name, _ in no_features)}
    values = layout.get("values")
    used |= set(values) if isinstance(values, list) else {values}
    labels = layout.get("labels")
    used |= set(labels) if isinstance(labels, list) else {labels}
    for column in number_marks.apply(columns)[0]:
        prefix = layout.get("pixels") or (values if isinstance(values, str) else "")
        is_numbered = bool(prefix) and column.name.removeprefix(prefix).isdigit()
        if column.name not in used and not is_numbered:
            left_out.append((column.name, column_roles.why_left_out(column)))
    why = "; ".join([notes[0], *table.notes, *notes[1:]])
    return TableColumns({**table.keys, **layout}, why, left_out)


def lines(path: Path, count: int, errors: str = "replace") -> list[str]:
    """The first `count` lines of a text file, plain or gzip, without newlines; its encoding is recognised.

    Args:
        errors: `strict` reads UTF-8, and what a byte order mark names, and guesses nothing.

    Raises:
        SourceError: the file is empty, or its encoding is not recognised.
        UnicodeDecodeError: the file is not text in these encodings, and `errors` is `strict`.
    """
    if errors == "strict":
        return encoding.strict_lines(path, count)
    return [line.rstrip("\r\n") for line in dialect.first_lines(path, encoding.recognise(path).name)[:count]]


def _present(table: Files) -> tuple[list[Column], list[tuple[str, str]]]:
    """The columns that can be read, and those that cannot: empty, or with a name that stands twice."""
    left_out: list[tuple[str, str]] = []
    names = [name for name in dict.fromkeys(table.names) if table.names.count(name) == 1]
    left_out += [(name, "the name stands twice") for name in dict.fromkeys(table.names) if name not in names]
    if table.schema is not None:
        names = [name for name in names if not nested_columns.is_nested(table.schema.field(name).type)]
    names = [name for name in names if name not in table.nested]
    columns = table.head(names) if names else []
    present = [column for column in columns if any(column.cells)]
    left_out += [(column.name, "empty") for column in columns if column.name and column not in present]
    return present, left_out


def _content(
    table: Files, columns: list[Column], source: Path, options: DraftOptions
) -> tuple[dict[str, Any], list[str], list[tuple[str, str]]]:
    """Keys of the columns; how they were recognised (the first remark names the kind); which columns are no features,
    and why."""
    split = column_roles.split(columns) if list(table.by_split) == [""] else None
    others = [column for column in columns if column is not split]
    keys = {"split": split.name} if split is not None else {}
    where = str(table.paths[0])
    named = others if options.label is None else [label_column.named(others, options.label, where)]
    sets = label_columns.recognise(table, others, source) if options.label is None else None
    if sets is not None:
        return {**sets.layout, **keys}, sets.notes, []
    nested = nested_columns.recognise(table, named)
    if nested is not None:
        layout, note = nested
        label = next(column for column in others if column.name == layout["label"])
        labels, notes = _label_keys(table, label, options, number_marks.Marks())
        return {**layout, **keys, **labels}, [note, *notes], []
    marked, marks = number_marks.apply(others)
    series_found = _series(table, marked, marks) if _may_be_series(marked, options) else None
    if series_found is not None:
        layout, notes = series_found
        return {**layout, **keys}, notes, []
    layout, notes, left_out = _grouped(table, marked, marks, source, options)
    return {**layout, **keys}, notes, left_out


def _may_be_series(columns: Sequence[Column], options: DraftOptions) -> bool:
    """Whether a time and numbers may be a series: no label was named, and no column is called a label and has few
    different values."""
    labels = [column for column in columns if column.known in LABELS and column.distinct <= label_column.FEW]
    few = [column for column in labels if column.distinct * 4 <= len(column.cells)]
    return options.demands("time") or (options.allows("time") and options.label is None and not few)


def _series(table: Files, columns: list[Column], marks: number_marks.Marks) -> tuple[dict[str, Any], list[str]] | None:
    """A time and columns of numbers."""
    found = column_roles.time(table, columns)
    if found is None:
        return None
    time, recognised = found
    numbers = [column for column in columns if column.is_number and column is not time]
    values = [column for column in numbers if column.known not in IDENTITIES]
    if not values or len(values) < len(columns) - 2:
        return None
    if recognised.problem is not None:
        if recognised.problem.where is None:
            recognised.problem.where = str(table.paths[0])
        raise recognised.problem
    _check_no_clock(table, columns, time)
    names = [column.name for column in values]
    layout: dict[str, Any] = {"time": time.name, "values": names, "label": None}
    layout |= {"time_format": recognised.format} if recognised.format is not None else {}
    layout |= marks.keys(values, table.paths[0])
    whole = series.read(table, time.name, recognised.format, names, marks.pair)
    layout |= {"missing_values": list(whole.words)} if whole.words else {}
    keys, notes = series.look(whole, names, table)
    notes = [*([recognised.note] if recognised.note else []), *_word_notes(whole.words), *notes]
    return {**layout, **keys}, [f"a time ({time.name}) and {_columns(values)} of numbers", *notes]


def _check_no_clock(table: Files, columns: Sequence[Column], day: Column) -> None:
    """Raise SourceError if the day is in one column and the time of day in another."""
    for column in columns:
        if column is not day and all(_CLOCK.fullmatch(cell) for cell in column.cells):
            raise SourceError(
                f"the time is in two columns: {day.name}, {column.name}",
                where=str(table.paths[0]),
                got=f"{day.cells[0]} and {column.cells[0]}",
                expected="day and time of day in one cell",
                next_step=f"write one column, such as {day.cells[0]} {column.cells[0]}",
            )


def _grouped(
    table: Files, columns: list[Column], marks: number_marks.Marks, source: Path, options: DraftOptions
) -> tuple[dict[str, Any], list[str], list[tuple[str, str]]]:
    """As `_labelled`, with the column that groups the samples, unless it is the only label."""
    group = column_roles.group(columns)
    if group is not None and group.name != options.label:
        others = [column for column in columns if column is not group]
        if options.label is not None or column_roles.label(others) is not None:
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
        label = _label([column for column in columns if column.name != image.name], options, where)
        if label is not None:
            keys, notes = _label_keys(table, label, options, marks)
            return (
                {**image.keys, **keys},
                [f"paths of images ({image.name}) and {_kind(keys)} ({label.name})", *notes],
                [],
            )
    text = column_roles.text(columns if options.label is None else _without(columns, options.label))
    is_table = features.is_one(columns, text, options)
    numbers = [column for column in columns if column.is_number and column.known not in IDENTITIES]
    are_values = options.demands("values") and len(numbers) > 1
    if text is not None and not is_table and not are_values:
        label = _label([column for column in columns if column is not text], options, where)
        if label is None:
            return {"text": text.name, "label": None}, [f"texts ({text.name}) without labels"], []
        keys, notes = _label_keys(table, label, options, marks)
        return {"text": text.name, **keys}, [f"texts ({text.name}) and {_kind(keys)} ({label.name})", *notes], []
    label = _label(columns, options, where)
    values = [column for column in numbers if label is None or column.name != label.name]
    as_values = _values(table, values, label, marks, options) if label is not None else None
    if as_values is not None:
        return *as_values, []
    if is_table and (options.demands("row") or _has_features(columns, options)):
        found = features.recognise(table, columns, marks, options)
        keys, notes = _labels(table, found.label) if found.label is not None else ({}, [])
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
        keys, notes = _label_keys(table, label, options, marks)
        why = f"{_columns(values)} of pixels and {_kind(keys)} ({label.name})"
        return {"pixels": prefix, **keys}, [why, *notes]
    names = [column.name for column in values]
    if not options.demands("values") and ("columns" in table.keys or not label_column.are_steps(names)):
        return None
    others = [column for column in table.names if column not in names and column != label.name]
    if not options.demands("values") and len(others) > len(values):
        return None
    keys, notes = _label_keys(table, label, options, marks)
    matrix, words = _numbers(table, names, marks)
    layout = {
        "values": column_roles.numbered_prefix(names, table.names) or names,
        **marks.keys(values, table.paths[0]),
        **keys,
    }
    layout |= {"missing_values": list(words)} if words else {}
    why = (
        f"{_columns(values)} of numbers and {_kind(keys)} ({label.name}), which are read as a series of values in order"
    )
    return layout, [why, *_word_notes(words), *series.far_values(matrix, names), *notes]


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


def _without(columns: Sequence[Column], name: str) -> list[Column]:
    return [column for column in columns if column.name != name]


def _kind(keys: Mapping[str, Any]) -> str:
    return "labels" if keys.get("label") is not None else "targets"


def _label_keys(
    table: Files, label: Column, options: DraftOptions, marks: number_marks.Marks
) -> tuple[dict[str, Any], list[str]]:
    """Keys and remarks for a label, or for a target if the column is a quantity."""
    is_target = options.demands("target") or (options.allows("target") and label_column.is_quantity(label))
    if not is_target:
        keys, notes = _labels(table, label.name)
        return {"label": label.name, **keys}, notes
    keys, notes = features.unlabelled(table, label)
    return {"label": None, "target": label.name, **marks.keys([label], table.paths[0]), **keys}, notes


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


def _labels(table: Files, label: str) -> tuple[dict[str, Any], list[str]]:
    """Keys and remarks for the labels of all rows.

    Raises:
        SourceError: more than one row in ten has no label.
    """
    missing: list[str] = []
    rows = 0
    for where, (cell,) in table.rows([label]):
        rows += 1
        if not cell.strip():
            missing.append(where)
    classes = table_files.class_names(table, label)
    is_plural = label.strip().lower() in LABEL_SETS
    one_each = [f"no cell of {label} has several labels: each sample has one"] if is_plural else []
    keys: dict[str, Any] = {"classes": classes} if classes is not None else {}
    notes = [f"the file's metadata names {len(classes)} classes", *one_each] if classes is not None else one_each
    if not missing:
        return keys, notes
    if len(missing) > UNLABELLED_SHARE * rows:
        raise SourceError(
            f"many rows have no label ({label})",
            where=missing[0],
            got=f"{len(missing):,} of {rows:,} rows",
            expected=f"at most {UNLABELLED_SHARE:.0%}, which a draft leaves out",
            next_step="add the labels or remove the rows",
        )
    shown = ", ".join(where.rpartition("/")[2] for where in missing[:_SHOWN]) + (
        ", ..." if len(missing) > _SHOWN else ""
    )
    notes.append(f"{len(missing):,} of {rows:,} rows have no label and are left out ({shown})")
    return {**keys, "unlabelled": "leave_out"}, notes


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


def _columns(columns: Sequence[Column]) -> str:
    return f"{len(columns):,} column{'s' if len(columns) != 1 else ''}"


def _word_notes(words: Mapping[str, int]) -> list[str]:
    if not words:
        return []
    return ["words for a missing value: " + ", ".join(f"{word} ({count:,} cells)" for word, count in words.items())]
