"""Recognise the decimal mark and the mark of thousands of a table's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.drafting.cells import Column
from components.ingestion.number_cells import FORMATS, parse


class Marks(NamedTuple):
    """Marks of all numbers of a table; `others` are marks that would fit as well, with other values."""

    decimal: str = "."
    thousands: str | None = None
    others: tuple[tuple[str, str | None], ...] = ()

    @property
    def pair(self) -> tuple[str, str | None]:
        """Decimal mark and mark of thousands."""
        return self.decimal, self.thousands

    def keys(self, values: Sequence[Column], path: Path) -> dict[str, Any]:
        """Keys of the layout.

        Raises:
            SourceError: the columns that are read can be numbers in two ways.
        """
        for column in values:
            for other in self.others:
                for cell in column.cells:
                    ours, theirs = column.number(cell), parse(cell, *other)
                    if ours is not None and theirs is not None and ours != theirs:
                        raise SourceError(
                            f"the numbers of the column {column.name} can be read in two ways",
                            where=str(path),
                            got=f"{cell}: {ours:g} or {theirs:g}?",
                            expected="a number that only one of them fits, such as 1,23 or 1,234,567",
                            next_step="write the numbers with a decimal point and without marks of thousands",
                        )
        keys: dict[str, Any] = {"decimal": self.decimal} if self.decimal != "." else {}
        return keys | ({"thousands": self.thousands} if self.thousands is not None else {})


def apply(columns: Sequence[Column]) -> tuple[list[Column], Marks]:
    """The columns with the marks that make most of them numbers, and these marks; plain numbers keep their reading."""
    odd = [column for column in columns if not column.is_number and any(map(str.isdigit, "".join(column.cells[:20])))]
    plain = [column for column in columns if column.is_number]
    counts: dict[tuple[str, str | None], int] = {}
    for pair in FORMATS[1:]:
        marked = [column._replace(decimal=pair[0], thousands=pair[1]) for column in (*plain, *odd)]
        if all(_same(column, before) for column, before in zip(marked, plain, strict=False)):
            counts[pair] = sum(column.is_number for column in marked[len(plain) :])
    best = max(counts.values(), default=0)
    if not best:
        return list(columns), Marks()
    pairs = [pair for pair, count in counts.items() if count == best]
    marks = Marks(*pairs[0], tuple(pairs[1:]))
    return [column._replace(decimal=marks.decimal, thousands=marks.thousands) for column in columns], marks


def mixed(columns: Sequence[Column]) -> list[str]:
    """What keeps columns from being numbers, if every cell is one with some marks: one sentence a column."""
    found = []
    for column in columns:
        cells = list(dict.fromkeys(cell for cell in column.cells if cell))
        readable: dict[tuple[str, str | None], list[str]] = {
            pair: [cell for cell in cells if parse(cell, *pair) is not None] for pair in FORMATS
        }
        if column.is_number or not all(any(cell in read for read in readable.values()) for cell in cells):
            continue
        pair = max(readable, key=lambda one: len(readable[one]))
        odd = next((cell for cell in cells if cell not in readable[pair]), None)
        other = _clash(columns, column, pair) if odd is None else None
        if odd is not None:
            found.append(f"{column.name}: {readable[pair][0]} is a number with {_words(pair)}, and {odd} is none")
        elif other is not None:
            found.append(f"{column.name}: {cells[0]} is a number with {_words(pair)}, with which {other}")
    return found


def _clash(columns: Sequence[Column], column: Column, pair: tuple[str, str | None]) -> str | None:
    """A cell of another column that is another number with these marks, or none."""
    for other in columns:
        for cell in other.cells if other is not column and other.is_number else ():
            plain, marked = other.number(cell), parse(cell, *pair)
            if plain is not None and plain != marked:
                return f"{cell} ({other.name}) would be {'no number' if marked is None else f'{marked:g}'}"
    return None


def _words(pair: tuple[str, str | None]) -> str:
    decimal, thousands = pair
    return f"the decimal mark {decimal!r}" + (f" and the mark of thousands {thousands!r}" if thousands else "")


def _same(column: Column, before: Column) -> bool:
    """Whether the marks leave the numbers of a column what they are."""
    return all(column.number(cell) == before.number(cell) for cell in before.cells if before.number(cell) is not None)
