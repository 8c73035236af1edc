"""Keys of the layout for the column of a label or target, after a look at all rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.core.errors import SourceError
from components.drafting import features, label_cells, label_column, number_marks, table_files
from components.drafting.cells import LABEL_SETS, Column
from components.drafting.draft_options import DraftOptions
from components.drafting.table_files import Files

UNLABELLED_SHARE = 0.1  # most rows without label that a draft leaves out


def find(
    table: Files, label: Column, options: DraftOptions, marks: number_marks.Marks
) -> tuple[dict[str, Any], list[str]]:
    """Keys and remarks for a label, or for a target if the column is a quantity."""
    is_target = options.demands("target") or (options.allows("target") and label_column.is_quantity(label))
    if not is_target:
        keys, notes = of_labels(table, label.name)
        return {"label": label.name, **keys}, notes
    keys, notes = features.unlabelled(table, label)
    return {"label": None, "target": label.name, **marks.keys([label], table.paths[0]), **keys}, notes


def kind(keys: Mapping[str, Any]) -> str:
    """Whether the keys are of labels or of targets, in a word."""
    return "labels" if keys.get("label") is not None else "targets"


def of_labels(table: Files, label: str) -> tuple[dict[str, Any], list[str]]:
    """Keys and remarks for the labels of all rows.

    Raises:
        SourceError: more than one row in ten has no label.
    """
    rows, missing, first = label_cells.without(table, label, lambda cell: not cell.strip())
    classes = table_files.class_names(table, label)
    is_plural = label.strip().lower() in LABEL_SETS
    one_each = [f"no cell of {label} has several labels: each sample has one"] if is_plural else []
    keys: dict[str, Any] = {"classes": classes} if classes is not None else {}
    notes = [f"the file's metadata names {len(classes)} classes", *one_each] if classes is not None else one_each
    if not missing:
        return keys, notes
    if missing > UNLABELLED_SHARE * rows:
        raise SourceError(
            f"many rows have no label ({label})",
            where=first[0],
            got=f"{missing:,} of {rows:,} rows",
            expected=f"at most {UNLABELLED_SHARE:.0%}, which a draft leaves out",
            next_step="add the labels or remove the rows",
        )
    shown = ", ".join(where.rpartition("/")[2] for where in first) + (", ..." if missing > len(first) else "")
    notes.append(f"{missing:,} of {rows:,} rows have no label and are left out ({shown})")
    return {**keys, "unlabelled": "leave_out"}, notes
