"""Recognise a table of features: columns of numbers and of categories beside a label or a target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from components.core.errors import SourceError
from components.drafting import column_notes, column_roles, label_cells, label_column, series, value_columns
from components.drafting.cells import IDENTITIES, MISSING, TEXTS, Column, is_integer
from components.drafting.draft_options import DraftOptions
from components.drafting.number_marks import Marks
from components.drafting.table_files import Files
from components.ingestion import columns as arrow_columns
from components.ingestion import number_columns
from components.ingestion.category import category_name

FEWEST = 2  # columns of features, without a word about the label
_CATEGORIES = 1000  # of a column
_ALWAYS = 10  # different words that are categories in a table of any size
_TEXT_LENGTH = 50  # mean number of characters from which a column holds texts
# Words that stand for a missing category; others, such as none, may be categories.
_MISSING_CATEGORIES = frozenset({"?", "na", "n/a", "#n/a", "nan", "null", "missing"})

_IDENTITY = re.compile(r"(?:^|[_\W])(?:id|ID|Id)$|[a-z]I[dD]$")


class _Scan:
    """What all rows of a column hold: number of filled cells, different ones, words for a missing value."""

    def __init__(self) -> None:
        self.filled = 0
        self.distinct: set[str] = set()
        self.words: Counter[str] = Counter()

    def add(self, cell: str, missing: frozenset[str], count: int = 1) -> None:
        """Add a cell that so many rows have."""
        text = cell.strip()
        if not text:
            return
        if text.lower() in missing:
            self.words[text] += count
            return
        self.filled += count
        if len(self.distinct) <= _CATEGORIES:
            self.distinct.add(text)

    def add_column(self, cells: pa.Array, missing: frozenset[str], decimal: str | None) -> None:
        """Add many cells at once.

        Args:
            decimal: the decimal mark of a column of numbers; None for other columns.
        """
        if decimal is not None:
            is_number = ~np.isnan(number_columns.plain(cells, decimal))
            numbers = cells.filter(arrow_columns.booleans(is_number))
            self.filled += len(numbers)
            if len(self.distinct) <= _CATEGORIES:
                self.distinct.update(map(str.strip, numbers.unique().to_pylist()))
            cells = cells.filter(arrow_columns.booleans(~is_number))
        places, texts = arrow_columns.codes(cells)
        for text, count in zip(texts, np.bincount(places, minlength=len(texts)).tolist(), strict=True):
            self.add(text, missing, count)


class RecognisedFeatures(NamedTuple):
    """Recognised features.

    Args:
        layout: keys of the layout, without those that say which rows have no label.
        left_out: columns that are no features, and why.
        label: the column of classes; None if the table has a target.
    """

    layout: dict[str, Any]
    notes: list[str]
    left_out: list[tuple[str, str]]
    label: str | None


def is_one(columns: Sequence[Column], text: Column | None, options: DraftOptions) -> bool:
    """Whether columns are features rather than a text with a label: no column that is called a text, and at least two
    features beside one that may be a text and the label."""
    if options.fields is not None:
        return "row" in options.fields
    if text is None:
        return True
    if text.known in TEXTS or text.length >= _TEXT_LENGTH:
        return False
    label = None if options.label is None else label_column.named(columns, options.label, "")
    label = label or column_roles.label([column for column in columns if column is not text])
    others = [column for column in columns if column not in (text, label) and is_feature(column)]
    return len(others) + (text.distinct <= max(_ALWAYS, len(text.cells) // 4)) >= FEWEST


def is_feature(column: Column) -> bool:
    """Whether a column may be a feature, by its first rows."""
    return _why_not(column, _scan_of(column)) is None


def recognise(table: Files, columns: Sequence[Column], marks: Marks, options: DraftOptions) -> RecognisedFeatures:
    """The features of a table, and its label or target.

    Raises:
        SourceError: nothing says which column is the label, no column is a feature, or a cell is no number.
    """
    where = str(table.paths[0])
    found = label_column.find(columns, options, where)
    if found is None:
        raise label_column.ask(columns, where)
    label, why = found
    is_target = options.demands("target") or (options.allows("target") and label_column.is_quantity(label))
    if is_target and not label.is_number:
        raise SourceError(f"the target {label.name} is no column of numbers", where=where,
                          got=", ".join(label.words[:3]), next_step="give `--label` a column of numbers")  # fmt: skip
    others = [column for column in columns if column is not label]
    scans = _scan(table, others)
    reasons = {column.name: _why_not(column, scans[column.name]) for column in others}
    used = [column for column in others if reasons[column.name] is None]
    if not used:
        raise SourceError("no column is a feature", where=where,
                          got="; ".join(f"{name}: {reason}" for name, reason in reasons.items()))  # fmt: skip
    numbers = [column for column in used if column.is_number]
    categories = [column for column in used if not column.is_number]
    layout: dict[str, Any] = {"numbers": [column.name for column in numbers]} if numbers else {}
    layout |= {"categories": [column.name for column in categories]} if categories else {}
    layout |= {"label": None, "target": label.name} if is_target else {"label": label.name}
    layout |= marks.keys([*numbers, *([label] if is_target else [])], table.paths[0])
    in_numbers, far = _numbers(table, [column.name for column in ([label] if is_target else []) + numbers], marks)
    words = Counter(in_numbers)
    for column in categories:
        words.update(scans[column.name].words)
    layout |= {"missing_values": list(words)} if words else {}
    kind = "target" if is_target else "label"
    notes = [
        f"a table of {len(numbers):,} numbers and {len(categories):,} categories, and the {kind} {label.name} ({why})"
    ]
    notes += column_notes.of_words(words) + far
    if options == DraftOptions():
        notes.append("if another column is the label: `--label COLUMN`; if the columns are steps of a series: `--task`")
    left_out = [(name, reason) for name, reason in reasons.items() if reason is not None]
    if is_target:
        keys, remarks = unlabelled(table, label)
    else:
        keys, remarks = _spellings(table, label)
    return RecognisedFeatures({**layout, **keys}, notes + remarks, left_out, None if is_target else label.name)


def _why_not(column: Column, scan: _Scan) -> str | None:
    """Why a column is no feature; None if it is one."""
    name = column.known
    distinct = len(scan.distinct)
    if name in IDENTITIES:
        return "an identity"
    if scan.filled == 0:
        return "empty"
    if distinct == 1:
        return f"constant: {next(iter(scan.distinct))}"
    if column.is_number:
        if _is_row_number(column):
            return "an identity: the numbers of the rows"
        filled = [cell for cell in column.cells if cell]
        is_identity = _IDENTITY.search(column.name) is not None and all(map(is_integer, filled))
        return "an identity, by its name: all different" if is_identity and column.distinct == len(filled) else None
    if column.is_time or column.is_mostly_typed:
        return column_roles.why_left_out(column) if not column.is_time else "times"
    if column.unit is not None or column.typed_share > column_roles.MOSTLY:
        return column_roles.why_left_out(column)
    if distinct > max(_ALWAYS, scan.filled // 4) or distinct > _CATEGORIES:
        kind = "texts" if " " in "".join(column.cells[:50]) else "words"
        count = f"more than {_CATEGORIES:,}" if distinct > _CATEGORIES else f"{distinct:,}"
        return f"{kind}, {count} different in {scan.filled:,} rows"
    return "texts" if column.known in TEXTS and column.length >= _TEXT_LENGTH else None


def _is_row_number(column: Column) -> bool:
    """Whether the cells count the rows, one by one."""
    values = [column.number(cell) for cell in column.cells]
    if len(values) < _ALWAYS or any(value is None for value in values):
        return False
    first = values[0] or 0.0
    return all(value == first + place for place, value in enumerate(values)) and first in (0.0, 1.0)


def _scan(table: Files, columns: Sequence[Column]) -> dict[str, _Scan]:
    """All rows of all columns."""
    scans = [_Scan() for _ in columns]
    missing = [MISSING if column.is_number else _MISSING_CATEGORIES for column in columns]
    for rows in table.blocks([column.name for column in columns]) if columns else ():
        for column, scan, cells, words in zip(columns, scans, rows.block.columns, missing, strict=True):
            scan.add_column(cells, words, column.decimal if column.is_number else None)
    return {column.name: scan for column, scan in zip(columns, scans, strict=True)}


def _scan_of(column: Column) -> _Scan:
    """The first rows of a column."""
    scan, words = _Scan(), MISSING if column.is_number else _MISSING_CATEGORIES
    for cell in column.cells:
        scan.add(cell, words)
    return scan


def _numbers(table: Files, names: Sequence[str], marks: Marks) -> tuple[dict[str, int], list[str]]:
    """Words for a missing value in columns of numbers with their counts, and remarks on values far from the rest."""
    columns, words = value_columns.read(table, names, marks.pair)
    return words, series.far_values(columns, names)


def unlabelled(table: Files, target: Column) -> tuple[dict[str, Any], list[str]]:
    """Keys and remarks for rows without a target."""
    found = label_cells.without(table, target.name, lambda cell: not cell.strip() or cell.strip().lower() in MISSING)
    if not found.missing:
        return {}, []
    return {"unlabelled": "leave_out"}, [
        f"{found.missing:,} rows have no target and are left out ({found.first[0]}, ...)"
    ]


def _spellings(table: Files, label: Column) -> tuple[dict[str, Any], list[str]]:
    """`classes` for labels that some rows write with a full stop behind them, as one of the files of Adult does."""
    found = {category_name(cell) for cell in label_cells.different(table, label.name)} - {None}
    names = sorted(str(name) for name in found)
    stopped = {name for name in names if name.endswith(".") and name[:-1] in found}
    if not stopped or len(names) > column_roles.MOST_CLASSES:
        return {}, []
    classes = {name: name[:-1] if name in stopped else name for name in names}
    return {"classes": classes}, [f"labels with and without a full stop are one class: {', '.join(sorted(stopped))}"]
