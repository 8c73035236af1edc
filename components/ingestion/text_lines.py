"""Lines of a text file, plain or gzip, with their numbers."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from components.core.errors import SourceError

_GZIP = b"\x1f\x8b"
_BOM = "\ufeff"
_WIDE = (  # byte order marks of more than one byte a character; the longer of two with the same begin is first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 1 << 16


def read(path: Path, encoding: str = "utf-8", *, strict: bool = False) -> Iterator[tuple[int, str]]:
    """Line numbers, counted from 1, and lines with their newline. A byte order mark is removed.

    A byte order mark of UTF-16 or UTF-32 says the encoding, whatever is stated. A file whose first 64 KiB have carriage
    returns and no line feed has lines that end with carriage returns, as of old Macs.

    Bytes that cannot be decoded become U+FFFD: a text with U+FFFD is a failing sample, which validation counts and
    shows. With `strict` they raise SourceError: for lines that are names and not the content of a sample.

    Raises:
        SourceError: no such file, a gzip file is truncated or damaged, or, with `strict`, a line cannot be decoded.
    """
    with readable(path), open_bytes(path) as stream:
        head = stream.read(_HEAD)
        stream.seek(0)
        wide = next((name for mark, name in _WIDE if head.startswith(mark)), None)
        encoding = "utf-8" if wide else encoding
        for number, line in enumerate(_lines(stream, head, wide), 1):
            try:
                text = line.decode(encoding, "strict" if strict else "replace")
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"not {encoding} text",
                    where=f"{path} line {number}",
                    got=f"byte {line[error.start]:#04x} at place {error.start}",
                    next_step="write the file in UTF-8, or say `encoding: latin-1` where that is what it is",
                ) from error
            yield number, text.removeprefix(_BOM) if number == 1 else text


def _lines(stream: IO[bytes], head: bytes, wide: str | None) -> Iterator[bytes]:
    """The lines with their ends; those of UTF-16 and UTF-32 (`wide`) in UTF-8."""
    if wide is not None:
        with io.TextIOWrapper(stream, encoding=wide, errors="replace", newline="") as text:
            yield from (line.encode() for line in text)
    elif b"\r" in head and b"\n" not in head:
        yield from stream.read().splitlines(keepends=True)
    else:
        yield from stream


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise SourceError for a file that is missing, or a gzip file that is truncated or damaged."""
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError("no such file in the source", where=str(path)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError("the file is truncated or damaged", where=str(path), got=error) from error


def open_bytes(path: Path) -> IO[bytes]:
    """The content of a file, plain or gzip."""
    with path.open("rb") as head:
        is_gzip = head.read(2) == _GZIP
    return cast("IO[bytes]", gzip.open(path, "rb")) if is_gzip else path.open("rb")
