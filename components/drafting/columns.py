"""Recognise the columns of a table: labels, texts, values, a time, pixels, images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.drafting import (
    column_roles,
    dialect,
    encoding,
    label_column,
    label_columns,
    label_keys,
    missing_words,
    nested_columns,
    number_marks,
    sample_columns,
    series_columns,
    table_files,
    time_column,
)
from components.drafting.cells import Column
from components.drafting.draft_options import NO_OPTIONS, DraftOptions
from components.drafting.table_files import Files


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
    source, as_they_are = source or table.paths[0].parent, columns
    own_words = missing_words.find(table, columns)
    if own_words:
        table = table._replace(blank=missing_words.blanks(own_words))
        columns, _ = _present(table)
    layout, notes, no_features = _content(table, columns, source, options)
    if own_words and missing_words.name_something(own_words, layout):  # a class, a group, ...: words are kept
        own_words, columns, table = [], as_they_are, table._replace(blank={})
        layout, notes, no_features = _content(table, columns, source, options)
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
    layout, remarks = missing_words.stated(layout, own_words, as_they_are)
    time, time_notes, left_out = time_column.find(table, as_they_are, layout, left_out)
    layout, notes = {**layout, **time}, [*notes, *remarks, *time_notes]
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
        labels, notes = label_keys.find(table, label, options, number_marks.Marks())
        return {**layout, **keys, **labels}, [note, *notes], []
    marked, marks = number_marks.apply(others)
    series_found = series_columns.recognise(table, marked, marks) if series_columns.may_be(marked, options) else None
    if series_found is not None:
        layout, notes = series_found
        return {**layout, **keys}, notes, []
    layout, notes, left_out = sample_columns.recognise(table, marked, marks, source, options)
    return {**layout, **keys}, notes, left_out
