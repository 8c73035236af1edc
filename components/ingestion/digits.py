"""scikit-learn's handwritten digits, read from the installed package without an import, which takes seconds."""

from __future__ import annotations

import gzip
import importlib.util
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from components.core.errors import SourceError
from components.ingestion import png
from components.ingestion.sample import Sample

_SIDE = 8
_LARGEST = 16  # grey levels are 0 to 16


def samples() -> Iterator[Sample]:
    """The 1 797 images of 8x8 pixels, their 17 grey levels spread over 0 to 255.

    Raises:
        SourceError: scikit-learn is not installed, or its digits file is unknown.
    """
    path = _file()
    try:
        text = gzip.decompress(path.read_bytes())
        table = np.loadtxt(io.BytesIO(text), delimiter=",")  # (N, 65): 64 pixels and the digit
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SourceError("the digits file cannot be read", where=str(path), got=error) from error
    if table.ndim != 2 or table.shape[1] != _SIDE * _SIDE + 1 or not 0 <= table.min() <= table.max() <= _LARGEST:
        raise SourceError("not the digits we know", where=str(path), got=table.shape, expected="(N, 65), 0 to 16")
    images = np.rint(table[:, :-1] * 255 / _LARGEST).astype(np.uint8).reshape(-1, _SIDE, _SIDE)  # (N, H, W)
    for row, (image, label) in enumerate(zip(images, table[:, -1], strict=True)):
        yield Sample(f"digits/{row:06d}", None, {"image": png.encode(image), "label": str(int(label))})


def _file() -> Path:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError("scikit-learn is not installed", next_step="make venv")
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise SourceError("scikit-learn came without its digits", where=str(path), next_step="reinstall scikit-learn")
    return path
