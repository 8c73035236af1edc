"""Open a text file, plain or gzip, in a stated encoding; what cannot be in that encoding is refused."""

from __future__ import annotations

import codecs
import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from components.core.errors import SourceError
from components.ingestion import text_lines

_MARKS = (  # byte order marks; the longer of two with the same begin is first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_HEAD_BYTES = 4096
_ZEROS = 0.2  # a file with more zero bytes than this share is no text of one byte a character
CONTROLS = re.compile("[\x80-\x9f]")  # C1: in ISO 8859 a control character, in Windows code pages a letter or mark


def open_text(path: Path, encoding: str, newline: str = "") -> TextIO:
    """Open a file for reading as text; its byte order mark is removed.

    In UTF-8, a byte that cannot be decoded becomes U+FFFD; in another encoding, reading raises UnicodeDecodeError,
    for which `undecodable` has the words.

    Args:
        newline: as in `open`.

    Raises:
        SourceError: no such file; its byte order mark or its zero bytes say another encoding.
    """
    head = first_bytes(path, _HEAD_BYTES)
    name = codecs.lookup(encoding).name
    marked = mark_of(head)
    if marked is not None and not name.startswith(marked):
        raise SourceError(
            f"not {encoding} text",
            where=str(path),
            got=f"a byte order mark of {marked.upper()}",
            next_step=f"set `encoding: {marked}`",
        )
    if not name.startswith(("utf-16", "utf-32")) and head.count(0) > _ZEROS * len(head):
        raise SourceError(
            f"not {encoding} text",
            where=str(path),
            got="zero bytes",
            next_step=f"set `encoding: {zeros_of(head)}` if it is UTF-16 without a byte order mark",
        )
    raw = text_lines.open_bytes(path)
    if name == "utf-8" or (name.endswith(("-le", "-be")) and marked is not None):
        raw.read(next((len(mark) for mark, _ in _MARKS if head.startswith(mark)), 0))
    errors = "replace" if name in ("utf-8", "utf-8-sig") else "strict"
    return io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline=newline)


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of the content of a file, plain or gzip.

    Raises:
        SourceError: no such file, or a gzip file is truncated or damaged.
    """
    with text_lines.readable(path), text_lines.open_bytes(path) as stream:
        return stream.read(count)


def mark_of(head: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def zeros_of(head: bytes) -> str:
    """UTF-16 without a mark: in which half of each pair the zero bytes of plain letters are."""
    return "utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le"


def has_no_controls(encoding: str) -> bool:
    """Whether the encoding is of ISO 8859, where a byte 0x80 to 0x9f is a control character that no text has."""
    return codecs.lookup(encoding).name.startswith("iso8859")


def checked(lines: Iterator[str], path: Path, encoding: str) -> Iterator[str]:
    """The lines themselves.

    Raises:
        SourceError: a line has C1 control characters, so the encoding is another.
    """
    for number, line in enumerate(lines, 1):
        if (found := CONTROLS.search(line)) is not None:
            raise SourceError(
                f"not {encoding} text",
                where=f"{path} line {number}",
                got=f"the control character {ord(found.group()):#04x}",
                next_step="set `encoding: cp1252`, where this byte is a letter or a mark, or the right encoding",
            )
        yield line


def undecodable(path: Path, encoding: str, error: UnicodeError) -> SourceError:
    """The error for a file that is not in its encoding, with the first such line."""
    line = 0
    with (
        contextlib.suppress(UnicodeError),  # UTF-16 without its mark: no line can be told
        text_lines.open_bytes(path) as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors="replace") as text,
    ):
        line = next((number for number, content in enumerate(text, 1) if "\ufffd" in content), 0)
    where = f"{path} line {line}" if line else str(path)
    reason = getattr(error, "reason", str(error))
    return SourceError(f"not {encoding} text", where=where, got=reason, next_step="set `encoding:` to the right one")
