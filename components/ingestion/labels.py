"""Labels from the cells of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.contracts.table_layout import Columns
from components.core.errors import SourceError
from components.ingestion.class_name import class_name

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

_SHOWN = 5


class Labels:
    """Turns cells into labels and counts the cells that have none.

    No label: None, NaN, NaT, text that is empty but for blanks and, in a table without columns of numbers, a word of
    `missing_values`. Any other text is a name, `NA` and `null` too, as `class_name` spells it.
    With `classes`, a cell is the number of a class: 1, 1.0 or their text; or, of a mapping, one of its keys.
    """

    noun = "label"

    def __init__(self, layout: Columns) -> None:
        self._classes = layout.classes
        self._leaves_out = layout.unlabelled == "leave_out"
        has_numbers = layout.values is not None or layout.features
        self._none = set() if has_numbers else {str(word) for word in layout.missing_values or ()}
        self._texts: dict[str, str | None] = {}  # of text cells: few are different
        self._first: list[tuple[str, int]] = []
        self.rows = 0
        self.missing = 0

    def of(self, value: Any, where: str, place: int) -> str | None:
        """The label of a cell; None if it has none.

        Args:
            where, place: where the row is, as `<file> line`, and the line's number; for messages.

        Raises:
            SourceError: the cell is no number of a class.
        """
        self.rows += 1
        if isinstance(value, str):
            if value in self._texts:
                label = self._texts[value]
            else:
                label = self._of_text(value, where, place)
                if len(self._texts) < 10_000:
                    self._texts[value] = label
        else:
            label = self._label(value, where, place)
        if label is None:
            self._count(where, place)
        return label

    def of_column(self, cells: pa.Array, where: str, lines: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[str]]:
        """The labels of a column of text: of each row the place of its label, -1 if it has none, and the labels.

        Args:
            lines: (n,) number of each row's line.

        Raises:
            SourceError: a cell is no number of a class; no row is counted, and `of` says which row it is.
        """
        from components.ingestion import columns

        numbers, names = columns.renamed(*columns.codes(cells), lambda text: self._of_text(text, where, 0))
        self._count_column(numbers < 0, where, lines)
        return numbers, names

    def _count_column(self, missing: NDArray[np.bool_], where: str, lines: NDArray[np.int64]) -> None:
        self.rows += len(missing)
        for line in lines[missing][:_SHOWN].tolist():
            self._count(where, line)
        self.missing += max(0, int(missing.sum()) - _SHOWN)

    def _of_text(self, value: str, where: str, place: int) -> str | None:
        text = class_name(value)
        return self._label(None if text in self._none else text or None, where, place)

    def _count(self, where: str, place: int) -> None:
        """Count a row without label."""
        self.missing += 1
        if len(self._first) < _SHOWN:
            self._first.append((where, place))

    def conclude(self) -> None:
        """Say how many rows were left out; to be called after the last row.

        Raises:
            SourceError: there are rows without label, and the layout does not leave them out.
        """
        if self.missing and not self._leaves_out:
            (where, first), *others = self._first
            further = ", ".join(str(place) if file == where else f"{file} {place}" for file, place in others)
            raise SourceError(
                f"no {self.noun}",
                where=f"{where} {first}",
                got=f"{self.missing:,} of {self.rows:,} rows have none" + (f"; also {further}" if further else ""),
                next_step=f"add the {self.noun}s, or set `unlabelled: leave_out`",
            )

    def _label(self, value: Any, where: str, place: int) -> str | None:
        if value is None or value != value:  # NaN and NaT differ from themselves
            return None
        if self._classes is None:
            return str(value)
        if isinstance(self._classes, dict):
            return self._named(self._classes, value, where, place)
        number = whole(value)
        if number is None:
            raise SourceError(
                "a label that is no number",
                where=f"{where} {place}",
                got=repr(value),
                expected=f"a whole number, as the layout has classes: 0 to {len(self._classes) - 1}",
            )
        if not 0 <= number < len(self._classes):
            expected = f"0 to {len(self._classes) - 1}"
            raise SourceError("a label without a class", where=f"{where} {place}", got=number, expected=expected)
        return self._classes[number]

    def _named(self, names: dict[str, str], value: Any, where: str, place: int) -> str:
        name = names.get(str(value))
        if name is None:
            expected = f"one of the keys of classes: {', '.join(names)}"
            raise SourceError("a label without a class", where=f"{where} {place}", got=repr(value), expected=expected)
        return name


def whole(value: Any) -> int | None:
    """The whole number that a cell is or spells."""
    try:
        if isinstance(value, str):
            try:
                return int(value)
            except ValueError:
                value = float(value)
        whole = int(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return whole if whole == value else None
