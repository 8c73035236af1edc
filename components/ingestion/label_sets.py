"""Sets of labels from the cells of a table: columns of 0 and 1, or one column of lists."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.class_name import class_name
from components.ingestion.labels import whole

_SHOWN = 5
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


class LabelSets:
    """Turns cells into sorted lists of labels, and counts what is odd: cells that cannot be read, samples without
    labels, labels that are named twice, nothing between two separators.

    Args:
        layout: `labels` and `labels_separator`; with `classes`, the labels of a list are numbers of classes.
    """

    def __init__(self, layout: Columns) -> None:
        self.columns = [layout.labels] if isinstance(layout.labels, str) else layout.labels or []
        self._is_list = isinstance(layout.labels, str)
        self._separator, self._classes = layout.labels_separator, layout.classes
        self._rows = self._without = self._twice = self._blank = self._wrong = 0
        self._first: list[str] = []

    def of(self, cells: Sequence[Any], where: str, place: int) -> list[str]:
        """The labels of a row, sorted; [] too for a row that cannot be read, which `conclude` refuses.

        Args:
            cells: of `columns`.
            where, place: where the row is, as `<file> line`, and the line's number; for messages.
        """
        self._rows += 1
        try:
            found = self._of_list(cells[0]) if self._is_list else self._of_flags(cells)
        except ValueError as error:
            self._wrong += 1
            if len(self._first) < _SHOWN:
                self._first.append(f"{where} {place}: {error}")
            return []
        self._without += not found
        self._twice += len(set(found)) < len(found)
        return sorted(set(found))

    def conclude(self) -> list[str]:
        """Sentences on what was odd; to be called after the last row.

        Raises:
            SourceError: there are rows that could not be read.
        """
        if self._wrong:
            first, *others = self._first
            place, _, got = first.partition(": ")
            raise SourceError(
                f"{self._wrong:,} of {self._rows:,} rows have labels that cannot be read",
                where=place,
                got="; ".join([got, *others]),
                expected=self._expected(),
                next_step="mend the cells, remove the rows, or correct `labels:` and `labels_separator:`",
            )
        sentences = []
        if self._without:
            sentences.append(f"{self._without:,} of {self._rows:,} samples have no label at all")
        if self._twice:
            sentences.append(f"{self._twice:,} of {self._rows:,} samples have a label twice, which is read as once")
        if self._blank:
            sentences.append(f"{self._blank:,} times nothing is between two separators of labels, which is left out")
        return sentences

    def _expected(self) -> str:
        if not self._is_list:
            return "0 or 1 in every column of labels"
        names = "numbers of classes" if self._classes is not None else "labels"
        if self._separator is None:
            return f"lists of {names}; text needs `labels_separator:`"
        if self._separator in ("json", "python"):
            return f"lists of {names}, as {self._separator} writes them"
        return f"{names}, separated by {self._separator!r}"

    def _of_flags(self, cells: Sequence[Any]) -> list[str]:
        found = []
        for name, cell in zip(self.columns, cells, strict=True):
            flag = _FLAGS.get(str(cell).strip().lower())
            if flag is None:
                raise ValueError(f"{name} is {'empty' if cell in (None, '') else repr(cell)}")
            if flag:
                found.append(class_name(name))
        return found

    def _of_list(self, cell: Any) -> list[str]:
        if cell is None or (isinstance(cell, float) and cell != cell):
            return []
        if isinstance(cell, str):
            cell = self._parsed(cell)
        if not isinstance(cell, list | tuple):
            raise ValueError(f"{cell!r:.60} is no list")
        return [self._label(item) for item in cell]

    def _parsed(self, cell: str) -> Any:
        if not cell.strip():
            return []
        if self._separator is None:
            raise ValueError(f"{cell!r:.60} is text")
        if self._separator == "json":
            try:
                return json.loads(cell) or []
            except ValueError as error:
                raise ValueError(f"{cell!r:.60} is no JSON") from error
        if self._separator == "python":
            try:
                return ast.literal_eval(cell.strip())
            except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
                raise ValueError(f"{cell!r:.60} is no list of Python") from error
        parts = [part.strip() for part in cell.split(self._separator)]
        self._blank += parts.count("")
        return [part for part in parts if part]

    def _label(self, item: Any) -> str:
        if isinstance(self._classes, dict):
            if str(item) not in self._classes:
                raise ValueError(f"{item!r:.60} is none of the cells that classes: names")
            return self._classes[str(item)]
        if self._classes is not None:
            number = whole(item)
            if number is None or not 0 <= number < len(self._classes):
                raise ValueError(f"{item!r:.60} is no number of 0 to {len(self._classes) - 1}")
            return self._classes[number]
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise ValueError(f"{item!r:.60} in a list is no label")
        name = class_name(str(item))
        if not name:
            raise ValueError("a label without a name")
        return name
