"""The first pass of preparation: decode each sample once, and keep a few bytes of it for the draw of the splits."""

from __future__ import annotations

import os
import re
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.dataset import DatasetSpec
from components.core.errors import SampleError
from components.core.progress import Progress
from components.ingestion import sample_file, times
from components.ingestion.sample import Sample
from components.preparation import near_duplicates, splits
from components.preparation.near_duplicates import NearDuplicates, SignatureFile
from components.preparation.scratch import Scratch
from components.preparation.splits import Draw
from components.preprocessing.batch import Arrays
from components.tasks import appearance
from components.tasks.appearance import Kind
from components.tasks.task import Task

NEXT_STEP = (
    "remove the sample from the source, or add an expectation to expectations.json: validation names all such samples"
)

_PART = 32  # samples of one call of a thread


class Index(NamedTuple):
    """What the draw knows of all samples.

    Args:
        classes: the classes that occur.
        strata: names of the draw's classes.
        near: near-duplicates; None where they are not looked for.
        times: (N,) seconds since 1970, for splits by time without rows.
    """

    draw: Draw
    classes: list[str]
    strata: list[str]
    near: NearDuplicates | None
    times: NDArray[np.float64] | None


class _Decoded(NamedTuple):
    arrays: list[Arrays]
    keys: list[int]
    kind: Kind | None
    signatures: NDArray[Any] | None


def decode(
    table: Path, scratch: Scratch, signature_path: Path, spec: DatasetSpec, task: Task, settings: Any, count: int
) -> Index:
    """Decode all samples of a raw file into the scratch file, and look for near-duplicates.

    Raises:
        SampleError: a sample cannot be converted to arrays, or lacks its group or its time.
    """
    keys, groups = np.empty(count, np.uint64), np.empty(count, np.uint64)
    source_splits = np.empty(count, np.uint8)
    moments = np.empty(count, np.float64) if spec.split.by == "time" and spec.split.rows is None else None
    strata = array("I")
    combinations: dict[tuple[str, ...], int] = {}
    classes: set[str] = set()
    split_numbers = {name: number for number, name in enumerate(splits.SPLITS)}
    group = spec.split.group
    kinds: set[Kind | None] = set()

    def decode_part(part: list[Sample]) -> _Decoded:
        return _decode_part(part, spec, task, settings)

    row = 0
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        SignatureFile(signature_path) as signatures,
        Progress(f"decoding {spec.name}", count) as progress,
    ):
        each = pool.map if task.payload_field else map
        for row_group in sample_file.groups(table):
            size = _PART if task.payload_field else len(row_group)
            parts = [row_group[start : start + size] for start in range(0, len(row_group), size)]
            for part, decoded in zip(parts, each(decode_part, parts), strict=True):
                kinds.add(decoded.kind)
                if decoded.signatures is not None:
                    signatures.append(decoded.signatures)
                for sample, arrays, key in zip(part, decoded.arrays, decoded.keys, strict=True):
                    scratch.append(arrays)
                    classes.update(task.labels(sample.values))
                    strata.append(combinations.setdefault(tuple(task.strata(sample.values)), len(combinations)))
                    keys[row] = key
                    if group is not None:
                        groups[row] = splits.key(_group(sample, group), spec.split.seed)
                    if moments is not None:
                        moments[row] = _moment(sample, spec)
                    source_splits[row] = split_numbers.get(str(sample.split), splits.OPEN)
                    row += 1
            progress.advance(len(row_group))
        kind = kinds.pop() if len(kinds) == 1 else None
        near = signatures.find(kind, keys) if kind is not None else None
    names = sorted({name for combination in combinations for name in combination})
    numbers = {name: number for number, name in enumerate(names)}
    by_number = [tuple(numbers[name] for name in combination) for combination in combinations]
    numbered = [by_number[combination] for combination in strata]
    joined = near.keys if near is not None and spec.split.near_duplicates in ("together", "leave_out") else None
    draw = Draw(keys, numbered, source_splits, None if group is None else groups, joined)
    return Index(draw, sorted(classes), names, near, moments)


def _decode_part(part: list[Sample], spec: DatasetSpec, task: Task, settings: Any) -> _Decoded:
    decoded, keys = [], []
    for sample in part:
        try:
            arrays = task.decode(sample.values, settings)
        except SampleError as error:
            raise with_id(error, sample.id) from error
        decoded.append(arrays)
        keys.append(splits.key(task.key(sample.values, arrays), spec.split.seed))
    if spec.split.near_duplicates == "ignore":
        return _Decoded(decoded, keys, None, None)
    appearances = [
        appearance.of(task, settings, sample.values, arrays) for sample, arrays in zip(part, decoded, strict=True)
    ]
    signatures = near_duplicates.signatures(appearances)
    kind = appearances[0].kind if signatures is not None and appearances[0] is not None else None
    return _Decoded(decoded, keys, kind, signatures)


def with_id(error: SampleError, identity: str) -> SampleError:
    """The error with the id of its sample, and what to do."""
    return SampleError(error.what, where=identity, got=error.got, expected=error.expected, next_step=NEXT_STEP)


def _group(sample: Sample, field: str) -> bytes:
    value = sample.values[field]
    if value in (None, ""):
        raise SampleError(
            f"no {field}, which keeps samples of a group in one split", where=sample.id, next_step=NEXT_STEP
        )
    return str(value).encode()


def _moment(sample: Sample, spec: DatasetSpec) -> float:
    """The time of a sample: seconds since 1970; of a feature that is a number, such as a year, that number."""
    if spec.time_field() == "row":
        value = sample.values["row"].get(spec.split.time_column)
        if isinstance(value, int | float):
            return float(value)
        value = f"{value}-01" if re.fullmatch(r"\d{4}", str(value)) else value  # a year, as a category
    else:
        value = sample.values["time"]
    parsed = times.parse(str(value))
    if parsed is None:
        raise SampleError("no time, by which the splits are made", where=sample.id, got=value, next_step=NEXT_STEP)
    return times.seconds(parsed)
