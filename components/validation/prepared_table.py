"""The sample table of a prepared dataset: one row a sample, looked up in the arrays that training will read."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

from components.contracts.progress import Progress
from components.validation import twins

_SPLITS = ("train", "validation", "test")
_ROWS = 4096

# `digest`: of the pixels, computed anew from the arrays. `class_number`: from labels.npy. `minimum`, `maximum`, `mean`:
# of the levels. `label_in_every_split`: its label occurs in all three. `label_balance`: the label's share of this split
# over its share of the whole dataset. `copies_in_split`: how often these pixels stand in this split.
COLUMNS = (
    "id", "split", "row", "label", "class_number", "digest", "minimum", "maximum", "mean", "copies", "copies_in_split",
    "in_other_split", "label_conflict", "label_in_every_split", "label_balance",
)  # fmt: skip


def build(folder: Path, name: str) -> pd.DataFrame:
    """The table of a prepared folder, in the order of its arrays: train, validation, test."""
    listed = pq.read_table(folder / "samples.parquet", columns=["split", "row", "id", "label"]).to_pandas()
    listed["order"] = listed["split"].map({split: number for number, split in enumerate(_SPLITS)})
    listed = listed.sort_values(["order", "row"], kind="stable").reset_index(drop=True).drop(columns="order")
    with Progress(f"looking at prepared {name}", len(listed)) as progress:
        pieces = [_piece(folder, split, progress) for split in _SPLITS]
    table = pd.concat([listed, pd.concat(pieces, ignore_index=True)], axis=1)
    table = table.assign(**twins.columns(table))
    table["copies_in_split"] = _size(table, "digest", "split")
    table["label_in_every_split"] = table.groupby("label")["split"].transform("nunique") == len(_SPLITS)
    in_split = table.groupby(["split", "label"])["id"].transform("size") / table.groupby("split")["id"].transform(
        "size"
    )
    table["label_balance"] = in_split / (table.groupby("label")["id"].transform("size") / len(table))
    return table[list(COLUMNS)]


def images(folder: Path, table: pd.DataFrame, ids: list[str]) -> dict[str, bytes]:
    """A few samples as PNG files, by id."""
    found: dict[str, bytes] = {}
    for row in table[table["id"].isin(ids)].itertuples():
        tensor = np.load(folder / str(row.split) / "images.npy", mmap_mode="r")[row.row]  # (H, W, C)
        out = io.BytesIO()
        Image.fromarray(np.asarray(tensor[..., 0] if tensor.shape[-1] == 1 else tensor)).save(out, "PNG")
        found[str(row.id)] = out.getvalue()
    return found


def _size(table: pd.DataFrame, *by: str) -> pd.Series:
    """How many rows share each row's values in these columns."""
    return table.groupby(list(by), sort=False)["id"].transform("size").astype("int64")


def _piece(folder: Path, split: str, progress: Progress) -> pd.DataFrame:
    tensors = np.load(folder / split / "images.npy", mmap_mode="r")  # (N, H, W, C)
    labels = np.load(folder / split / "labels.npy")  # (N,)
    digests: list[str] = []
    minimum, maximum, mean = (np.empty(len(tensors), kind) for kind in (np.int64, np.int64, np.float64))
    for start in range(0, len(tensors), _ROWS):
        batch = np.asarray(tensors[start : start + _ROWS])
        rows = slice(start, start + len(batch))
        flat = batch.reshape(len(batch), -1)
        minimum[rows], maximum[rows], mean[rows] = flat.min(axis=1), flat.max(axis=1), flat.mean(axis=1)
        digests += [hashlib.sha256(tensor.tobytes()).hexdigest() for tensor in batch]
        progress.advance(len(batch))
    found = {"class_number": labels, "digest": digests, "minimum": minimum, "maximum": maximum, "mean": mean}
    return pd.DataFrame(found)
