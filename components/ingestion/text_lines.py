"""Lines of a text file, plain or gzip, with their numbers."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from components.core.errors import SourceError

_GZIP = b"\x1f\x8b"
_BOM = "\ufeff"


def read(path: Path, encoding: str = "utf-8", *, strict: bool = False) -> Iterator[tuple[int, str]]:
    """Line numbers, counted from 1, and lines with their newline. A byte order mark is removed.

    Bytes that cannot be decoded become U+FFFD: a text with U+FFFD is a failing sample, which validation counts and
    shows. With `strict` they raise SourceError: for lines that are names and not the content of a sample.

    Raises:
        SourceError: no such file, a gzip file is truncated or damaged, or, with `strict`, a line cannot be decoded.
    """
    with readable(path), open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
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
