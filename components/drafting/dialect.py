"""Recognise how a text table is written: delimiter, lines above the header, comments, and the header itself."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.drafting import encoding
from components.drafting.cells import IDENTITIES, LABEL_SETS, LABELS, SPLITS, TEXTS, TIMES, is_typed
from components.ingestion import text_encoding, text_lines
from components.ingestion.delimited import DELIMITERS
from components.ingestion.dialect import Dialect

MAX_LINES = 2000
_MAX_CHARACTERS = 4 << 20
_BODY = 100  # rows that tell which columns have numbers or times
_REPEATED = 4  # rows a word, from which a column is one of few words
_MOST_ABOVE = 100  # lines above the header that are looked through
_NAMES = frozenset((*LABELS, *LABEL_SETS, *TEXTS, *TIMES, *SPLITS, *IDENTITIES)) - {""}
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


class RecognisedDialect(NamedTuple):
    """A dialect, the same as keys of dataset.yaml, and remarks for a person."""

    dialect: Dialect
    keys: dict[str, Any]
    notes: list[str]


def recognise(path: Path, kind: str) -> RecognisedDialect:
    """How a file is written; `kind` is csv or tsv, by its name.

    Raises:
        SourceError: the file is empty or binary, or its encoding is not recognised.
    """
    coded = encoding.recognise(path)
    lines = first_lines(path, coded.name)
    notes = [coded.note] if coded.note else []
    keys: dict[str, Any] = {"encoding": coded.name} if coded.name != "utf-8" else {}
    skip = 0
    stated = _SEPARATOR.fullmatch(lines[0].strip("\r\n"))
    comment = None
    if stated is not None:
        skip = 1
        notes.append(f"the first line says the delimiter: {lines[0].strip()}")
    delimiter, quoted = (stated.group(1), True) if stated is not None else _delimiter(lines, kind)
    rows = _rows(lines[skip:], delimiter, quoted, skip)
    if stated is None and (head := _short_header(rows, delimiter)) is not None:
        delimiter = _unused(lines, head, rows, path)
        notes.append(f"the header names one column ({head[0].strip()}): commas are parts of its cells")
        rows = _rows(lines, delimiter, quoted, skip)
    width = _width(rows)
    if _is_commented(rows, width):
        comment = "#"
        notes.append(f"lines that begin with # are comments ({sum(row[0][:1] == '#' for _, row in rows):,} of them)")
        rows = [(number, row) for number, row in rows if not row[0].startswith("#")]
    place = _first_row(rows, width)
    if place and rows:
        skip = rows[place][0] - 1
        notes.append(f"the header seems to be line {skip + 1}, what is above it is skipped")
        rows = rows[place:]
    names = [] if has_header([row for _, row in rows]) else [f"column_{number}" for number in range(width)]
    if quoted and (delimiter != "," or kind == "tsv"):
        keys = {"kind": "csv", **keys} if kind == "tsv" else keys
        keys["delimiter"] = delimiter
        notes.append(
            f"the delimiter is `{DELIMITERS.get(delimiter, delimiter)}`"
            + (", quotation marks around cells are no part of them" if kind == "tsv" else "")
        )
    keys |= {"skip_lines": skip} if skip else {}
    keys |= {"comment": comment} if comment else {}
    keys |= {"header": False, "columns": names} if names else {}
    return RecognisedDialect(Dialect(coded.name, delimiter, quoted, skip, 0, comment, names or None), keys, notes)


def first_lines(path: Path, name: str) -> list[str]:
    """The first lines of a text file, with their line ends.

    Raises:
        SourceError: the file is empty or damaged.
    """
    with text_lines.readable(path), text_encoding.open_text(path, name) as text:
        lines: list[str] = []
        size = 0
        for line in islice(text, MAX_LINES):
            lines.append(line)
            size += len(line)
            if size > _MAX_CHARACTERS:
                break
    if not any(line.strip() for line in lines):
        raise SourceError("the file is empty", where=str(path))
    return lines


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row has the names of the columns: known names, text above numbers or times, or words that no
    other row of columns of few words has."""
    if not rows:
        return True
    head, body = rows[0], rows[1:]
    if any(cell.strip().lower() in _NAMES for cell in head):
        return True
    if len(set(head)) < len(head):
        return False
    if any(_is_typed(index, body[:50], some=True) and not is_typed(cell) for index, cell in enumerate(head)):
        return True
    return _are_new(head, body)


def _are_new(head: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether there are columns of few words, and the first row's cells are none of them."""
    words = [[row[index] for row in body if len(row) > index and row[index].strip()] for index in range(len(head))]
    few = [index for index, cells in enumerate(words) if len(cells) >= _REPEATED * max(1, len(set(cells)))]
    return bool(few) and all(head[index].strip() and head[index] not in words[index] for index in few)


def _delimiter(lines: Sequence[str], kind: str) -> tuple[str, bool]:
    """The delimiter with which most rows have the same number of cells; whether cells are in quotation marks.

    If two are as good, the one that is less usual: a comma is also in numbers and in texts.
    """
    if kind == "tsv":
        plain = _evenness(_rows(lines, "\t", False, 0))
        quoted = [cell for line in lines for cell in line.rstrip("\r\n").split("\t") if cell[:1] == '"']
        if not quoted:
            return "\t", False
        is_even = _evenness(_rows(lines, "\t", True, 0)) > plain or (plain == 0 and _spans_lines(lines))
        return "\t", is_even or _are_escaped(quoted, lines)
    scores = {mark: _evenness(_rows(lines, mark, True, 0)) for mark in ("\t", ";", "|", ",")}
    best = max(scores, key=lambda mark: scores[mark])
    return (best if scores[best] > 0 else ","), True


def _short_header(rows: Sequence[tuple[int, list[str]]], delimiter: str) -> list[str] | None:
    """The first row, if it is a header of known names that most rows have more cells than: commas in them are not in
    quotation marks."""
    if delimiter != "," or len(rows) < 2:
        return None
    head, second = rows[0][1], rows[1][1]
    is_header = all(cell.strip().lower() in _NAMES for cell in head)
    is_above = len(second) > len(head) and any(cell.strip().lower() in _NAMES for cell in second)
    longer = sum(_size(row) > len(head) for _, row in rows[1:])
    is_text = any(cell.strip().lower() in TEXTS for cell in head)
    return head if is_header and is_text and not is_above and longer * 2 >= len(rows) - 1 else None


def _unused(lines: Sequence[str], head: Sequence[str], rows: Sequence[tuple[int, list[str]]], path: Path) -> str:
    """A delimiter that no line has, for a table of one column.

    Raises:
        SourceError: the header names several columns.
    """
    free = [mark for mark in ("\t", "|", ";") if not any(mark in line for line in lines)]
    if len(head) == 1 and free:
        return free[0]
    line, row = next((line, row) for line, row in rows[1:] if _size(row) > len(head))
    raise SourceError(
        "rows have more cells than the header names: commas inside of texts?",
        where=f"{path} line {line}",
        got=f"{len(row)} cells: {' | '.join(row[:5])[:100]}",
        expected=f"{len(head)}: {', '.join(head)}",
        next_step="put texts with commas in quotation marks, or separate the cells with tabs",
    )


def _are_escaped(quoted: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether the cells that begin with a quotation mark are quoted as in CSV, not texts that quote.

    Every one ends with a mark, marks inside are doubled, and some are, or every cell of the file is such.
    """
    if not all(map(_QUOTED.fullmatch, quoted)):
        return False
    cells = sum(line.count("\t") + 1 for line in lines if line.strip("\r\n"))
    return len(quoted) == cells or any('""' in cell[1:-1] for cell in quoted)


def _spans_lines(lines: Sequence[str]) -> bool:
    """Whether the quotation marks of all lines are those of cells, and a cell has several lines."""
    try:
        return len(list(csv.reader(lines, delimiter="\t", strict=True))) < len(lines)
    except csv.Error:
        return False


def _rows(lines: Sequence[str], delimiter: str, quoted: bool, above: int) -> list[tuple[int, list[str]]]:
    """Line and cells of each row that is not empty, as far as the quotation marks allow."""
    if not quoted:
        return [(number, line.rstrip("\r\n").split(delimiter)) for number, line in enumerate(lines, above + 1)
                if line.strip("\r\n")]  # fmt: skip
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(lines, delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    begin = above + 1
    for row in reader:
        if row:
            rows.append((begin, row))
        begin = above + 1 + reader.line_num
    return rows[:-1] if len(rows) > 2 and len(lines) >= MAX_LINES else rows  # the last row may be cut


def _size(row: Sequence[str]) -> int:
    """Number of cells, without an empty last one."""
    return len(row) - (len(row) > 1 and not row[-1].strip())


def _width(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """The most usual number of cells; the empty last ones count if most rows have as many."""
    return Counter(len(row) for _, row in rows).most_common(1)[0][0] if rows else 0


def _evenness(rows: Sequence[tuple[int, Sequence[str]]]) -> float:
    """The share of rows with the most usual number of cells, empty last ones counted or not; 0 if that is one cell."""
    shares = [0.0]
    for sizes in (Counter(len(row) for _, row in rows), Counter(_size(row) for _, row in rows)):
        size, count = sizes.most_common(1)[0] if sizes else (0, 0)
        shares.append(count / len(rows) if size > 1 else 0.0)
    return max(shares)


def _is_commented(rows: Sequence[tuple[int, Sequence[str]]], width: int) -> bool:
    """Whether the file begins with lines that begin with # and are no rows; no row of the table begins so."""
    marked = [row for _, row in rows if row[0].startswith("#")]
    if not marked or not rows[0][1][0].startswith("#"):
        return False
    return all(len(row) != width for row in marked) or (width > 1 and len(marked) < len(rows) and len(marked[0]) == 1)


def _first_row(rows: Sequence[tuple[int, list[str]]], width: int) -> int:
    """Place of the header among the rows, or of the first row if there is none.

    It is the last row above the data that has all its cells, all different, or else the first of the usual length.
    Where the data has numbers or times, it begins with the first row that has them too.
    """
    even = [place for place, (_, row) in enumerate(rows) if len(row) == width or _size(row) == _size([""] * width)]
    even = [place for place in even if len(rows[place][1]) == width] or even
    if not even:
        return 0
    body = [rows[place][1] for place in even[len(even) // 2 :][:_BODY]]
    typed = [index for index in range(width) if _is_typed(index, body)]
    if not typed:
        texts = [place for place in even if place < _MOST_ABOVE and rows[place][1][0].strip().lower() in TEXTS]
        return texts[0] if width == 1 and texts else even[0]
    begin = next(
        (at for at, place in enumerate(even) if all(_fits(rows[place][1][index]) for index in typed)), 0
    )  # fmt: skip
    above = [place for place in even[:begin] if place < _MOST_ABOVE]
    if not above:
        return even[0]
    named = [place for place in above if any(cell.strip().lower() in _NAMES for cell in rows[place][1])]
    full = [place for place in above if len({cell for cell in rows[place][1] if cell.strip()}) >= _size(rows[place][1])]
    return (named or full or above)[-1]


def _fits(cell: str) -> bool:
    return not cell.strip() or is_typed(cell)


def _is_typed(index: int, rows: Sequence[Sequence[str]], *, some: bool = False) -> bool:
    """Whether the cells of a column are numbers or times: nine of ten, or `some`."""
    cells = [row[index] for row in rows if len(row) > index and row[index].strip()]
    typed = sum(map(is_typed, cells))
    return typed > 0 if some else bool(cells) and typed >= 0.9 * len(cells)
