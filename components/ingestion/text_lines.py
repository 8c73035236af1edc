"""Lines of a text file, plain or gzip, each with its number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from components.core.errors import SourceError

_GZIP = b"\x1f\x8b"
_BOM = "\ufeff"


def read(path: Path, encoding: str = "utf-8", *, strict: bool = False) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 on, and lines with the newline that they end with. A byte order mark is left out.

    Bytes that are not in this encoding become U+FFFD: a text that holds them is a failing sample, which validation
    counts and shows. With `strict` they are refused: for lines that are names and not a sample's content.

    Raises:
        SourceError: no such file, a gzip file is truncated or damaged; strictly also a line that cannot be decoded.
    """
    try:
        with _opened(path) as stream:
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
    except FileNotFoundError as error:
        raise SourceError("no such file in the source", where=str(path)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError("the file is truncated or damaged", where=str(path), got=error) from error


def _opened(path: Path) -> IO[bytes]:
    with path.open("rb") as peek:
        packed = peek.read(2) == _GZIP
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")
