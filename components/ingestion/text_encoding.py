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
_BLOCK_BYTES = 1 << 20
_WORD = re.compile(r"[^\s,;|\"]*[^\x00-\x7f][^\s,;|\"]*")
_SHOWN = 40  # characters of a word
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


def utf8_instead(path: Path, encoding: str) -> str | None:
    """The sentence for a file that is UTF-8 beyond ASCII although another encoding is stated; None if it is not.

    Text of another encoding is almost never UTF-8 by chance. The file is read once, up to the first byte that is not.

    Raises:
        SourceError: no such file, or a gzip file is truncated or damaged.
    """
    if codecs.lookup(encoding).name.startswith("utf") or _not_utf8(path) is not None:
        return None
    for number, line in _unusual_lines(path):
        found = _WORD.search(line.decode("utf-8", "replace").removeprefix("\ufeff"))
        if found is None:  # a byte order mark alone
            continue
        word = found.group()[:_SHOWN]
        as_stated = word.encode().decode(encoding, "replace")
        return f"{path.name} is UTF-8, and is read as {encoding}: line {number} has {as_stated}, in UTF-8 {word}"
    return None


def first_not_utf8(path: Path) -> SourceError | None:
    """The error for a file that is not UTF-8, with the first such line; None if it is.

    Raises:
        SourceError: no such file, or a gzip file is truncated or damaged.
    """
    error = _not_utf8(path)
    if error is None:
        return None
    for number, line in _unusual_lines(path):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as found:
            return SourceError(
                "not utf-8 text",
                where=f"{path} line {number}",
                got=f"byte {line[found.start]:#04x} at place {found.start}",
                expected="UTF-8, as the dataset's table",
                next_step="save the file as UTF-8",
            )
    return undecodable(path, "utf-8", error)  # a character that ends with its line


def _not_utf8(path: Path) -> UnicodeDecodeError | None:
    """Why a file is not UTF-8; None if it is."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    with text_lines.readable(path), text_lines.open_bytes(path) as stream:
        try:
            while block := stream.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            return error
    return None


def _unusual_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not ASCII, with their numbers from 1."""
    with text_lines.readable(path), text_lines.open_bytes(path) as stream:
        yield from ((number, line) for number, line in enumerate(stream, 1) if not line.isascii())
