"""`near_duplicates.parquet` of a prepared dataset: pairs of nearly equal samples, and what they do to the splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.dataset import DatasetSpec
from components.ingestion import columns, sample_file
from components.preparation import splits
from components.preparation.near_duplicates import NearDuplicates

FILE_NAME = "near_duplicates.parquet"
LARGE = 0.01  # share of the samples from which a group is named: pairs may have chained unlike samples
LATER = {"train": ("validation", "test"), "validation": ("test",)}  # splits that judge what is learnt from a split
_TEXTS = ("first", "second", "first_split", "second_split", "first_label", "second_label")


def write(
    raw: Path, folder: Path, near: NearDuplicates, keys: NDArray[np.uint64], assigned: NDArray[np.uint8],
    spec: DatasetSpec,
) -> dict[str, Any]:  # fmt: skip
    """Write the pairs, by group: ids, splits ("" for none), labels ("" without) and the similarity of two samples.

    Of copies, which have the same `content` in samples.parquet, the first in the raw file stands for all of one split.

    Returns:
        What was looked for and found, for the manifest.
    """
    pairs = _with_copies(near, keys, assigned)
    groups = near.keys[pairs[:, 0]]
    names = {key: number for number, key in enumerate(dict.fromkeys(groups.tolist()))}
    numbers = np.array([names[key] for key in groups.tolist()], np.int64)
    order = np.argsort(numbers, kind="stable")
    pairs, numbers = pairs[order], numbers[order]
    similarity = near.similarity[_pair_numbers(near, keys, pairs)]
    rows = np.unique(pairs).tolist()
    has_labels = sample_file.fields_of(raw).get("label") == "text"
    fields = (
        sample_file.texts_of(raw, "id", rows),
        {row: splits.SPLITS[assigned[row]] if assigned[row] < len(splits.SPLITS) else "" for row in rows},
        sample_file.texts_of(raw, "label", rows) if has_labels else dict.fromkeys(rows, ""),
    )
    texts = [[values[row] for row in side] for values in fields for side in pairs.T.tolist()]
    schema = pa.schema([("group", pa.int64()), *((name, pa.string()) for name in _TEXTS), ("similarity", pa.float64())])
    arrays = [columns.integers(numbers), *map(columns.text, texts), _floats(similarity)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    pq.write_table(table, folder / FILE_NAME, compression="zstd", write_statistics=False)
    sizes = _group_sizes(near)
    return {
        "kind": near.kind,
        "measure": near.method,
        "threshold": near.threshold,
        "setting": spec.split.near_duplicates or "reported",
        "pairs": len(pairs),
        "samples": int(sizes.sum()),
        "groups": len(sizes),
        "largest_group": int(sizes.max(initial=0)),
        "across": across(near, assigned),
        "complete": near.complete,
    }


def across(near: NearDuplicates, assigned: NDArray[np.uint8]) -> dict[str, int]:
    """By split: number of samples, copies included, of whose group a sample is in one of `LATER`; only where there are
    some."""
    grouped = np.isin(near.keys, near.keys[near.pairs[:, 0]])
    counts = {}
    for split, others in LATER.items():
        there = near.keys[np.isin(assigned, [splits.SPLITS.index(other) for other in others])]
        mine = grouped & (assigned == splits.SPLITS.index(split))
        counts[split] = int(np.isin(near.keys[mine], there).sum())
    return {split: count for split, count in counts.items() if count}


def lines(near: NearDuplicates | None, assigned: NDArray[np.uint8], spec: DatasetSpec) -> list[str]:
    """One sentence each; none without near-duplicates."""
    if near is None:
        setting = spec.split.near_duplicates
        without = f"near_duplicates: {setting} changes nothing: samples of this kind have no comparison"
        return [without] if setting in ("together", "leave_out") else []
    sizes = _group_sizes(near)
    if not len(sizes):
        return []
    found = [
        f"{int(sizes.sum()):,} samples are near-duplicates, in {len(sizes):,} groups ({near.method}: {near.threshold})"
    ]
    for split, count in across(near, assigned).items():
        found.append(f"{count:,} samples of {split} have a near-duplicate in {' or '.join(LATER[split])}")
    if sizes.max() > max(100, LARGE * len(assigned)):
        found.append(
            f"a group of near-duplicates has {sizes.max():,} samples: pairs may connect samples that are unlike"
        )
    if not near.complete:
        found.append("so many samples are alike that not all pairs were compared: there are more near-duplicates")
    return found


def _floats(values: NDArray[np.float64]) -> pa.Array:
    return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(values.astype("<f8").tobytes())])


def _group_sizes(near: NearDuplicates) -> NDArray[np.int64]:
    """Number of samples of each group, copies included, (G,)."""
    members = np.isin(near.keys, near.keys[near.pairs[:, 0]])
    return np.unique(near.keys[members], return_counts=True)[1]


def _with_copies(near: NearDuplicates, keys: NDArray[np.uint64], assigned: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The pairs (P, 2), with one sample of each split where there are copies in several."""
    if not len(near.pairs):
        return near.pairs
    member = np.flatnonzero(np.isin(keys, keys[near.pairs]))
    _, first = np.unique(
        np.stack([keys[member], assigned[member].astype(np.uint64)], axis=1), axis=0, return_index=True
    )
    of_key: dict[int, list[int]] = {}
    for row in sorted(member[first].tolist()):
        of_key.setdefault(int(keys[row]), []).append(row)
    pairs = {
        (min(one, other), max(one, other))
        for left, right in keys[near.pairs].tolist()
        for one in of_key[left]
        for other in of_key[right]
    }
    return np.array(sorted(pairs), np.int64)


def _pair_numbers(near: NearDuplicates, keys: NDArray[np.uint64], pairs: NDArray[np.int64]) -> list[int]:
    """For each pair of samples, the number of the pair that was compared."""
    numbers = {frozenset(pair): number for number, pair in enumerate(keys[near.pairs].tolist())}
    return [numbers[frozenset(pair)] for pair in keys[pairs].tolist()]
