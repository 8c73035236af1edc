"""Words of a person's own for a missing value, such as `k.A.` or `unbekannt`, in columns that hold numbers else.

A word is taken where it is the only one in a column of many different numbers, in a few of its cells, and cannot be a
value itself: not a number in words, a bound, an amount such as none or free, or anything with a digit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from components.drafting.cells import MISSING, Column
from components.drafting.table_files import Files
from components.ingestion import number_cells

MOST = 0.1  # share of the filled cells that can be such a word
_LEAST_NUMBERS = 10  # different ones: with fewer, a column may be of classes, and the word one of them
_SHORTEST, _LONGEST = 2, 30  # letters of a word: one alone may be a code, such as T for traces of rain
_SYMBOLS = re.compile(r"[\d<>≤≥=~±+%€$£∞]")
# Words, in small letters and without marks around them, that may be amounts, numbers or bounds; or the row above.
_NOTHING = """
no none nothing never nil zero free gratis kostenlos kostenfrei frei kein keine keiner keines nichts nie null nein aucun
aucune rien jamais zéro gratuit ninguno ninguna nada nunca cero nessuno niente mai geen niets nooit nul
yes ja oui si sì sí true false wahr falsch on off an aus
"""
_NUMBERS = """
one two three four five six seven eight nine ten eleven twelve dozen hundred thousand million half
ein eins eine zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dutzend hundert tausend halb
un une deux trois quatre cinq sept huit neuf dix onze douze cent mille uno dos tres cuatro cinco seis siete ocho nueve
diez cien mil due tre quattro cinque sei sette otto nove dieci cento
"""
_BOUNDS = """
inf infinity infinite unendlich unlimited unbegrenzt unbounded always immer max maximum min minimum more less over under
above below mehr weniger über unter high low medium mid hoch niedrig mittel tief large small big tiny groß klein many
few several some viele wenige einige full voll empty trace traces spuren bdl lod loq saturated overflow underflow
clipped new neu old alt newborn today heute studio ground basement erdgeschoss eg ug rookie first last erste letzte
total sum mean average median summe gesamt mittelwert
"""
_ABOVE = "ditto dito idem same so sa gleich"
_VALUES = frozenset(" ".join((_NOTHING, _NUMBERS, _BOUNDS, _ABOVE)).split())
_NEGATIONS = frozenset({"no", "kein", "keine", "not"})  # of what is missing, as in keine Angabe


class OwnWord(NamedTuple):
    """A word that stands for a missing value in a column of numbers: its number of cells, of those that are filled."""

    column: str
    word: str
    cells: int
    filled: int


def find(table: Files, columns: Sequence[Column]) -> list[OwnWord]:
    """The words of columns that hold numbers else, by all rows of the table."""
    likely = {column.name: word for column in columns if (word := _word(column.cells)) is not None}
    if not likely:
        return []
    names = list(likely)
    counts, filled = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for _, cells in table.rows(names):
        for name, cell in zip(names, cells, strict=True):
            text = cell.strip()
            if name not in likely or not text or text.lower() in MISSING:
                continue
            filled[name] += 1
            if text == likely[name]:
                counts[name] += 1
            elif not _is_number(text):  # another word further down
                del likely[name]
    return [
        OwnWord(name, word, counts[name], filled[name])
        for name, word in likely.items()
        if counts[name] <= MOST * filled[name]
    ]


def stated(
    layout: dict[str, Any], found: Sequence[OwnWord], columns: Sequence[Column]
) -> tuple[dict[str, Any], list[str]]:
    """The layout with the words of the columns that it reads under `missing_values`, and what is assumed."""
    values = layout.get("values")
    read = {*(layout.get("numbers") or ()), *(values if isinstance(values, list) else ()), layout.get("target")}
    used = [
        one
        for one in found
        if one.column in read or (isinstance(values, str) and re.fullmatch(re.escape(values) + r"\d*", one.column))
    ]
    if not used:
        return layout, []
    words = list(dict.fromkeys([*layout.get("missing_values", ()), *(one.word for one in used)]))
    notes = [
        f"{one.word!r} stands for a missing value in {one.column}: {one.cells:,} of {one.filled:,} cells, and all "
        "others are numbers (`missing_values`); if it is a value, write it as a number"
        for one in used
    ]
    others = [
        f"{column.name} ({column.cells.count(one.word):,} of the first {len(column.cells):,} cells)"
        for one in used
        for column in columns
        if column.name in (layout.get("categories") or ()) and one.word in column.cells
    ]
    if others:
        notes.append(f"such a word stands for a missing value in {', '.join(others)} as well")
    return {**layout, "missing_values": words}, notes


def name_something(found: Sequence[OwnWord], layout: Mapping[str, Any]) -> bool:
    """Whether one of the columns is read as something else than numbers, where its word is a name."""
    roles = {layout.get(key) for key in ("label", "group", "split", "time", "text", "image")}
    labels = layout.get("labels")
    roles |= set(labels if isinstance(labels, list) else [labels])
    return any(one.column in {*roles, *(layout.get("categories") or ())} for one in found)


def _word(cells: Sequence[str]) -> str | None:
    """The only word among numbers, if it may stand for a missing value; None if there is none, or another cell."""
    filled = [cell for cell in cells if cell and cell.lower() not in MISSING]
    words = {cell for cell in filled if not _is_number(cell)}
    if len(words) != 1:
        return None
    word = next(iter(words))
    numbers = {cell for cell in filled if cell != word}
    is_rare = filled.count(word) <= MOST * len(filled)
    return word if is_rare and len(numbers) >= _LEAST_NUMBERS and _means_nothing(word) else None


def _means_nothing(word: str) -> bool:
    """Whether a word cannot be a value."""
    if len(word) > _LONGEST or _SYMBOLS.search(word) or not any(map(str.isalpha, word)):
        return False
    parts = re.findall(r"[^\W_]+", word.lower())
    if len("".join(parts)) < _SHORTEST or "".join(parts) in _VALUES:
        return False
    return not any(part in _VALUES and part not in _NEGATIONS for part in parts)


def _is_number(cell: str) -> bool:
    return any(number_cells.parse(cell, *marks) is not None for marks in number_cells.FORMATS)


def blanks(found: Sequence[OwnWord]) -> Mapping[str, str]:
    """The word of each column, for `Files.blank`."""
    return {one.column: one.word for one in found}
