"""Recognise sets of labels beside texts or images: columns of 0 and 1, or one column of lists."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.drafting import column_roles, image_columns, nested_columns, table_files
from components.drafting.cells import GROUPS, IDENTITIES, LABEL_SETS, LABELS, SPLITS, Column
from components.drafting.column_roles import MOST_CLASSES
from components.drafting.table_files import Files

_MARKS = (";", "|", ",", "/", " ")  # the most telling first; a blank only in a column with a name of `LABEL_SETS`
_FLAGS = frozenset({"0", "1", "0.0", "1.0", "true", "false"})
_ODD = 0.1  # largest share of cells that are neither 0 nor 1 in a column that is said to be nearly of them
_SEVERAL = 0.02  # smallest share of cells with more than one label
_TYPED = 0.5  # share of numbers and times, of any marks, from which the cells of a column are no sets of labels


class LabelColumns(NamedTuple):
    """Recognised sets of labels with their content.

    Args:
        layout: keys of the layout.
        notes: how they were recognised, the kind first.
    """

    layout: dict[str, Any]
    notes: list[str]


def recognise(table: Files, columns: Sequence[Column], source: Path) -> LabelColumns | None:
    """Texts or images, with a set of labels; None if there are not both.

    Args:
        source: folder in which images that a column names may be.
    """
    group = column_roles.group(columns)
    columns = [column for column in columns if column is not group]
    for content, note, used in _contents(table, columns, source):
        others = [column for column in columns if column.name not in used]
        found = _lists(table) or _separated(table, others) or _flags(table, others)
        if found is None:
            continue
        keys, how, notes = found
        layout, notes = {**content, **keys}, [f"{note} and {how}", *notes]
        if group is not None:
            layout["group"] = group.name
            notes.append(f"samples of equal {group.name} are kept in one split")
        return LabelColumns(layout, notes)
    return None


def _contents(table: Files, columns: Sequence[Column], source: Path) -> list[tuple[dict[str, Any], str, set[str]]]:
    """Keys of what a sample holds, in words, and the columns of it: images, or texts."""
    nested = nested_columns.image(table)
    if nested is not None:
        return [({"image": nested}, f"images ({nested})", {nested})]
    image = image_columns.find(columns, table.paths[0], source)
    if image is not None:
        return [({**image.keys}, f"paths of images ({image.name})", {image.name})]
    text = column_roles.text([column for column in columns if column.known not in LABEL_SETS and not _is_list(column)])
    return [] if text is None else [({"text": text.name}, f"texts ({text.name})", {text.name})]


def _lists(table: Files) -> tuple[dict[str, Any], str, list[str]] | None:
    """A column whose values are lists of few different texts, or of numbers of classes."""
    names = [name for name in table.list_columns if _holds_labels(table, name)]
    name = next((name for name in names if name.strip().lower() in LABEL_SETS), names[0] if len(names) == 1 else None)
    if name is None:
        return None
    keys: dict[str, Any] = {"labels": name}
    classes = table_files.class_names(table, name)
    notes = []
    if classes is not None:
        keys["classes"] = classes
        notes.append(f"the file's metadata names {len(classes)} classes")
    sizes = [len(set(map(str, value or ()))) for value in table.values(name)]
    return keys, f"lists of labels ({name})", [*notes, *_size_notes(sizes, name)]


def _holds_labels(table: Files, name: str) -> bool:
    labels: Counter[str] = Counter()
    cells = 0
    for value in table.values(name):
        items = value or ()
        if not all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return False
        cells += 1
        labels.update(map(str, set(items)))
        if len(labels) > MOST_CLASSES:
            return False
    return bool(labels) and len(labels) <= max(2, cells // 2)


def _separated(table: Files, columns: Sequence[Column]) -> tuple[dict[str, Any], str, list[str]] | None:
    """A column of text whose cells are lists: JSON, Python's, or labels with a mark between them."""
    ordered = sorted(columns, key=lambda column: column.known not in LABEL_SETS)
    for column in ordered:
        if column.known in (*IDENTITIES, *SPLITS) or column.is_number or column.typed_share >= _TYPED:
            continue
        separator = _separator(column)
        if separator is None:
            continue
        parse = _PARSERS.get(separator, lambda cell, mark=separator: [part.strip() for part in cell.split(mark)])
        try:
            sizes = [len({str(part) for part in parse(cell) if part != ""}) if cell.strip() else 0
                     for _, (cell,) in table.rows([column.name])]  # fmt: skip
        except (ValueError, SyntaxError) as error:
            raise SourceError(
                f"some cells of {column.name} are no lists, as the first are", where=str(table.paths[0]), got=error,
                next_step="write all cells alike",
            ) from error  # fmt: skip
        how = f"as {separator} writes lists" if separator in _PARSERS else f"separated by {separator!r}"
        keys = {"labels": column.name, "labels_separator": separator}
        return keys, f"sets of labels ({column.name}), {how}", _size_notes(sizes, column.name)
    return None


def _separator(column: Column) -> str | None:
    """What separates the labels of the cells; None if the cells are no lists."""
    cells = [cell for cell in column.cells if cell]
    if not cells:
        return None
    if all(cell.startswith(("[", "(")) and cell.endswith(("]", ")")) for cell in cells):
        return next((name for name, parse in _PARSERS.items() if _are_lists(cells, parse)), None)
    for mark in _MARKS:
        several = [cell for cell in cells if mark in cell.strip(f"{mark} ")]
        if len(several) < max(2, _SEVERAL * len(cells)) or (mark == " " and column.known not in LABEL_SETS):
            continue
        if _is_vocabulary(cells, mark):
            return mark
    return None


def _is_vocabulary(cells: Sequence[str], mark: str) -> bool:
    """Whether the parts of the cells are few labels that occur in several combinations: no texts, names or dates."""
    sets = {tuple(part.strip() for part in cell.split(mark) if part.strip()) for cell in cells}
    combinations: Counter[str] = Counter(part for parts in sets for part in set(parts))
    if len(combinations) > min(MOST_CLASSES, max(2, len(cells) // 3)) or len(combinations) > len(sets) + 2:
        return False
    if any(len(part) > 60 for part in combinations) or all(_is_numeral(part) for part in combinations):
        return False
    joined = {part for parts in sets if len(parts) > 1 for part in parts}
    return sum(combinations[part] > 1 for part in joined) * 2 >= len(joined)


def _is_numeral(part: str) -> bool:
    return part.replace(".", "").replace("-", "").isdigit()


def _json(cell: str) -> list[Any]:
    value = json.loads(cell)
    if not isinstance(value, list):
        raise ValueError(f"{cell[:60]!r} is no list")
    return value


def _python(cell: str) -> list[Any]:
    value = ast.literal_eval(cell.strip())
    if not isinstance(value, list | tuple):
        raise ValueError(f"{cell[:60]!r} is no list")
    return list(value)


_PARSERS: dict[str, Callable[[str], list[Any]]] = {"json": _json, "python": _python}


def _are_lists(cells: Sequence[str], parse: Callable[[str], list[Any]]) -> bool:
    try:
        return all(isinstance(item, str | int) for cell in cells for item in parse(cell))
    except (ValueError, SyntaxError):
        return False


def _is_list(column: Column) -> bool:
    return _separator(column) is not None


def _flags(table: Files, columns: Sequence[Column]) -> tuple[dict[str, Any], str, list[str]] | None:
    """Two columns of 0 and 1 or more, where no column is named as that of one label."""
    if any(column.known in LABELS for column in columns):
        return None
    flags = [column for column in columns if _is_flag(column)]
    if len(flags) < 2 or sum(column.distinct == 2 for column in flags) < 2:
        return None
    names = [column.name for column in flags]
    nearly = [note for column in columns if column not in flags and (note := _nearly(column))]
    sizes = [sum(cell.strip().lower() in ("1", "1.0", "true") for cell in cells) for _, cells in table.rows(names)]
    return {"labels": names}, f"{len(names)} columns of 0 and 1, one a label", [
        *_size_notes(sizes, "these columns"), *nearly
    ]  # fmt: skip


def _is_flag(column: Column) -> bool:
    cells = {cell.lower() for cell in column.cells}
    return cells <= _FLAGS and column.known not in (*IDENTITIES, *SPLITS, *GROUPS)


def _nearly(column: Column) -> str:
    """A sentence on a column that a few cells keep from being one of 0 and 1; "" for other columns."""
    odd = [cell for cell in column.cells if cell.lower() not in _FLAGS]
    if not 0 < len(odd) <= _ODD * len(column.cells) or len(set(column.cells) & _FLAGS) < 2:
        return ""
    return (
        f"{column.name} is nearly a column of 0 and 1 ({len(odd):,} of the first {len(column.cells):,} cells are not, "
        f"such as {odd[0]!r}), and is no label: mend these cells if it is one"
    )


def _size_notes(sizes: Sequence[int], name: str) -> list[str]:
    """What a person should know of the numbers of labels of the samples."""
    if sizes and set(sizes) == {1}:
        return [
            f"every row has exactly one label in {name}, and is read as a set of labels all the same, because it is "
            "written as one: if a sample never has several, write one column with the label, for a classification into "
            "one class"
        ]
    if none := sizes.count(0):
        return [f"{none:,} of {len(sizes):,} rows have no label: they are samples of none"]
    return []
