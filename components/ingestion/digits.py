"""scikit-learn's handwritten digits, read from the installed package without an import, which takes seconds."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator

import numpy as np

from components.core.errors import SourceError
from components.ingestion import png, sklearn_data
from components.ingestion.sample import Sample

_SIDE = 8
_LARGEST = 16  # grey levels are 0 to 16


def samples() -> Iterator[Sample]:
    """The 1 797 images of 8x8 pixels, their 17 grey levels spread over 0 to 255.

    Raises:
        SourceError: scikit-learn is not installed, or its digits file is unknown.
    """
    path = sklearn_data.path("digits.csv.gz")
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
