"""scikit-learn's diabetes table, read from the installed package: ten measurements, and how far the disease went.

Efron et al. 2004, Least Angle Regression, Annals of Statistics 32:407-499; the values are not scaled.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from components.core.errors import SourceError
from components.ingestion import sklearn_data
from components.ingestion.sample import Sample

NUMBERS = ("age", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")
CATEGORIES = ("sex",)
_COLUMNS = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")  # of the file


def samples() -> Iterator[Sample]:
    """The 442 patients.

    Raises:
        SourceError: scikit-learn is not installed, or its files are unknown.
    """
    table = _table(sklearn_data.path("diabetes_data_raw.csv.gz"), len(_COLUMNS))  # (N, 10)
    targets = _table(sklearn_data.path("diabetes_target.csv.gz"), 1)  # (N, 1)
    for number, (values, target) in enumerate(zip(table.tolist(), targets, strict=True)):
        row: dict[str, Any] = dict(zip(_COLUMNS, values, strict=True))
        row = {name: row[name] for name in NUMBERS} | {name: str(int(row[name])) for name in CATEGORIES}
        yield Sample(f"diabetes/{number:06d}", None, {"row": row, "target": target})


def _table(path: Path, columns: int) -> np.ndarray:
    try:
        table = np.loadtxt(io.BytesIO(gzip.decompress(path.read_bytes())), ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SourceError("the diabetes file cannot be read", where=str(path), got=error) from error
    table = table.reshape(-1, columns) if table.shape[1] != columns else table
    if len(table) != 442 or not np.isfinite(table).all():
        raise SourceError("not the diabetes table we know", where=str(path), got=table.shape, expected=(442, columns))
    return table
