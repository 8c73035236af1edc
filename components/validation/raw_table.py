"""The sample table of raw data: one row a sample, what can be said of its image without preparing it."""

from __future__ import annotations

import hashlib
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from components.contracts.progress import Progress
from components.ingestion import sample_file
from components.validation import twins

_MAX_PIXELS = 25_000_000
_PIECE = 1 << 20

# `error`: why an image is not readable. `mean`, `standard_deviation`: of all its levels, 0 to 255. `copies`: how often
# the same file stands in the dataset. `in_other_split`: it also stands in another split that the source gives.
# `label_conflict`: it also stands there with another label.
COLUMNS = (
    "id", "split", "label", "digest", "readable", "error", "width", "height", "channels", "mean",
    "standard_deviation", "bytes", "copies", "in_other_split", "label_conflict",
)  # fmt: skip


class _Facts(NamedTuple):
    readable: bool
    error: str | None
    width: int
    height: int
    channels: int
    mean: float
    standard_deviation: float


def build(source: Path, target: Path, name: str, count: int) -> pd.DataFrame:
    """The table of all samples of a raw file, also written to `target`."""
    columns: dict[str, list[object]] = {
        name: [] for name in ("id", "split", "label", "digest", *_Facts._fields, "bytes")
    }
    with Progress(f"looking at {name}", count) as progress:
        for group in sample_file.read(source):
            for identity, split, label, content in zip(*group, strict=True):
                facts = _facts(content)
                row = (identity, split, label, hashlib.sha256(content).hexdigest(), *facts, len(content))
                for values, value in zip(columns.values(), row, strict=True):
                    values.append(value)
            progress.advance(len(group[0]))
    table = pd.DataFrame(columns)
    table = table.assign(**twins.columns(table))[list(COLUMNS)]
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), target, compression="zstd")
    return table


def images(source: Path, table: pd.DataFrame, ids: list[str]) -> dict[str, bytes]:
    """The image files of a few samples, by id."""
    rows = table.index[table["id"].isin(ids)].tolist()
    return {identity: content for _, identity, content in sample_file.pick(source, rows)}


def _facts(content: bytes) -> _Facts:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > _MAX_PIXELS:
                size = f"{image.width}x{image.height}"
                return _Facts(False, f"too many pixels: {size}", image.width, image.height, 0, 0.0, 0.0)
            levels = np.asarray(image.convert("RGB") if image.mode == "P" else image)  # (H, W) or (H, W, C)
    except UnidentifiedImageError:
        return _Facts(False, "not an image", 0, 0, 0, 0.0, 0.0)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return _Facts(False, f"damaged: {error}", 0, 0, 0, 0.0, 0.0)
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    return _Facts(True, None, levels.shape[1], levels.shape[0], channels, *_moments(levels))


def _moments(levels: NDArray[np.generic]) -> tuple[float, float]:
    """Mean and standard deviation of all levels. Sums of whole numbers: exact, in whatever order they are added."""
    flat = levels.ravel()
    first = second = 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE].astype(np.float64)
        first += float(piece.sum())
        second += float(piece.dot(piece))
    mean = first / flat.size
    return mean, math.sqrt(max(second / flat.size - mean * mean, 0.0))
