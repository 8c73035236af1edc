"""A file of truths: CSV, TSV, JSON lines or Parquet with the columns id and truth, and perhaps index and at."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from components.contracts.prediction_log import FEEDBACK, Feedback, hour_of
from components.core.errors import NotFoundError, SourceError

COLUMNS = ("id", "truth", "index", "at")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read(path: Path) -> list[Feedback]:
    """The truths of a file.

    A truth in CSV or TSV that is JSON (a number as JSON writes it, a list, an object, a text in quotes) is read as
    that, else as a text: 1.20 stays one, as it may be the name of a class.

    Raises:
        NotFoundError: there is no such file.
        SourceError: the file cannot be read, or a row is no truth; the first one is named.
    """
    if not path.exists():
        raise NotFoundError(f"no such file: {path}", next_step="check the path")
    try:
        found = []
        for number, row in enumerate(_rows(path), 1):
            try:
                found.append(
                    Feedback.model_validate({name: row[name] for name in COLUMNS if row.get(name) is not None})
                )
            except ValidationError as error:
                first = error.errors()[0]
                raise SourceError(
                    f"row {number} is no truth: {first['msg'].removeprefix('Value error, ')}",
                    where=str(path),
                    got=json.dumps(row, default=str)[:120],
                    expected="id and truth; if needed, index of the sample in its request, and at, seconds since 1970",
                ) from error
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, RecursionError, pa.ArrowException) as error:
        raise SourceError("the truths cannot be read", where=str(path), got=str(error)) from error
    if not found:
        raise SourceError("there is no truth in the file", where=str(path), expected=", ".join(COLUMNS[:2]))
    return found


def append(log: Path, told: list[Feedback]) -> None:
    """Write truths into the open hour of a log."""
    now = time.time()
    target = log / hour_of(now) / f"{os.getpid()}-{int(1000 * now):x}{FEEDBACK}"
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = "".join(json.dumps({**one.model_dump(), "arrived": now}) + "\n" for one in told)
    with target.open("a", encoding="utf-8") as stream:
        stream.write(lines)
        stream.flush()
        os.fsync(stream.fileno())


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix in _DELIMITERS:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for row in csv.DictReader(stream, delimiter=_DELIMITERS[suffix], strict=True):
                yield {name: _cell(name, text) for name, text in row.items() if name is not None}
    elif suffix in (".jsonl", ".ndjson"):
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                if line.strip():
                    document = json.loads(line)
                    yield document if isinstance(document, dict) else {"row": document}
    elif suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
    else:
        raise SourceError(
            "this kind of file is not read", where=str(path), expected="a file .csv, .tsv, .jsonl or .parquet"
        )


def _cell(name: str, text: str | None) -> Any:
    if text is None or text == "":
        return None
    try:
        if name == "index":
            return int(text)
        if name == "at":
            return float(text)
        if name == "truth" and text[0] in '[{"-0123456789':
            truth = json.loads(text)
            is_number = isinstance(truth, int | float)
            return truth if not is_number or json.dumps(truth) == text else text
    except (ValueError, RecursionError):
        return text
    return text
