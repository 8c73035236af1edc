"""Labelled spans of characters to BIO tags of words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from components.core.errors import SourceError
from components.core.words import words
from components.ingestion.class_name import class_name
from components.ingestion.remarks import Remarks

_FORM = "[start, end, label], or an object with start_offset, end_offset and label"


class CharacterSpan(NamedTuple):
    """A labelled part of a text: characters `begin` to `end`, excluded, counted in code points."""

    begin: int
    end: int
    label: str


def read(entry: Any, text: str, where: str, remarks: Remarks) -> CharacterSpan:
    """A span from a list, or from an object as doccano, Label Studio or spaCy write it.

    Where the object has the span's own text, it has to be the text between the offsets. If it is where offsets count
    units of UTF-16, as in a browser, these are converted.

    Raises:
        SourceError: no such span, several labels, offsets outside the text or of another text.
    """
    quoted = None
    if isinstance(entry, list) and len(entry) == 3:
        begin, end, label = entry
    elif isinstance(entry, dict):
        begin, end = (entry.get(f"{side}_offset", entry.get(side)) for side in ("start", "end"))
        label = entry.get("label", entry.get("labels"))
        quoted = entry.get("text")
    else:
        raise SourceError("an entry that is no span", where=where, got=repr(entry)[:80], expected=_FORM)
    if isinstance(label, list) and len(label) == 1:
        (label,) = label
    if not isinstance(label, str) or not class_name(label):
        raise SourceError("a span without one label", where=where, got=repr(label)[:80], expected=_FORM)
    if not all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (begin, end)):
        raise SourceError("offsets that are no whole numbers", where=where, got=f"{begin!r}, {end!r}", expected=_FORM)
    if isinstance(quoted, str) and text[begin:end] != quoted:
        units = _of_utf16(text, begin, end)
        if units is None or text[slice(*units)] != quoted:
            expected = f"{quoted[:60]!r}, the span's own text"
            got = f"{text[begin:end][:60]!r} between {begin} and {end}"
            raise SourceError("a span that is not where its offsets are", where=where, got=got, expected=expected)
        begin, end = units
        remarks.add("spans have offsets in units of UTF-16, which are converted", where)
    if not 0 <= begin < end <= len(text):
        expected = f"0 to {len(text)}, the length of the text in characters, the start below the end"
        raise SourceError("a span outside its text", where=where, got=f"{begin} to {end}", expected=expected)
    return CharacterSpan(begin, end, class_name(label).replace(" ", "_"))


def tagged(
    text: str, spans: Sequence[CharacterSpan], where: str, remarks: Remarks
) -> tuple[list[str], list[str]]:  # fmt: skip
    """The words of a text and their BIO tags.

    A span that begins or ends inside a word is extended to the whole word, and counted; a word that two spans share is
    cut where they meet.

    Raises:
        SourceError: two spans overlap.
    """
    ordered = sorted(spans)
    for one, other in itertools.pairwise(ordered):
        if other.begin < one.end:
            got = "; ".join(f"{span.begin} to {span.end} {span.label}" for span in (one, other))
            raise SourceError("two spans overlap", where=where, got=got, expected="a word has one tag",
                              next_step="remove one of them")  # fmt: skip
    pieces = _pieces(text, ordered, where, remarks)
    tags = ["O"] * len(pieces)
    for span in ordered:
        inside = [place for place, (_, begin, end) in enumerate(pieces) if begin < span.end and end > span.begin]
        if not inside:
            remarks.add("spans without a word are left out", where)
            continue
        if pieces[inside[0]][1] < span.begin or pieces[inside[-1]][2] > span.end:
            remarks.add("spans begin or end inside a word, and are extended to the whole word", where)
        for place in inside:
            tags[place] = f"{'B' if place == inside[0] else 'I'}-{span.label}"
    return [word for word, _, _ in pieces], tags


def _pieces(text: str, spans: Sequence[CharacterSpan], where: str, remarks: Remarks) -> list[tuple[str, int, int]]:
    """The words of a text; one that several spans share is cut at their edges."""
    pieces: list[tuple[str, int, int]] = []
    for word, begin, end in words(text):
        own = [span for span in spans if span.begin < end and span.end > begin]
        if len(own) < 2:
            pieces.append((word, begin, end))
            continue
        edges = sorted({begin, end, *(edge for span in own for edge in span[:2] if begin < edge < end)})
        pieces += [(text[one:other], one, other) for one, other in itertools.pairwise(edges)]
        remarks.add("words belong to several spans, and are cut where these meet", where)
    return pieces


def _of_utf16(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """Offsets in units of UTF-16 as offsets in characters; None if they are inside a character."""
    units = text.encode("utf-16-le", "surrogatepass")
    try:
        return len(units[: 2 * begin].decode("utf-16-le")), len(units[: 2 * end].decode("utf-16-le"))
    except UnicodeDecodeError:
        return None
