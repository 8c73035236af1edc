"""Ingested samples that are not prepared, as an inspection needs them: decoded and encoded, what fails is counted.

Samples are decoded and encoded as in preparation, into temporary files; the processor is fitted on all of them, as
there are no splits. A sample that cannot be decoded or encoded is left out: it may be why validation has refused
the data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from components.contracts.dataset import DatasetSpec
from components.contracts.shapes import TokensInput
from components.core.errors import ModelyardError, SampleError
from components.core.progress import Progress
from components.ingestion import sample_file
from components.inspection import features
from components.preparation import near_duplicates, splits
from components.preparation.near_duplicates import NearDuplicates, SignatureFile
from components.preparation.scratch import Scratch
from components.preparation.split_files import SplitFiles
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import digest_of
from components.tasks import appearance
from components.tasks.description import label_text
from components.tasks.task import Processor, RawSample, Task
from components.validation.leakage import NearPair
from components.validation.sample_features import Features

SPLIT = splits.SPLITS[splits.TRAIN]  # the folder of the temporary arrays
_SHOWN = 3  # samples that are left out are named up to here


class IngestedSamples(NamedTuple):
    """What `InspectedSamples` needs; the split of a sample is that of the source, "" for none."""

    listed: pd.DataFrame
    near: list[NearPair]
    features: Features | None
    notes: list[str]


class _Reading(NamedTuple):
    """What one reading goes by, and the reasons why samples are left out, by their ids."""

    spec: DatasetSpec
    task: Task
    settings: Any
    source: Path
    folder: Path
    failed: dict[str, str]


def read(spec: DatasetSpec, task: Task, settings: Any, source: Path, state: Path) -> IngestedSamples:
    """Read all samples of a raw file.

    Args:
        state: folder that the temporary files are written to.
    """
    with tempfile.TemporaryDirectory(prefix="inspect-", dir=state) as name:
        reading = _Reading(spec, task, settings, source, Path(name), {})
        notes: list[str] = []
        with Scratch(reading.folder / "scratch") as scratch:
            rows, near = _decode(reading, scratch, notes)
            found = _features(reading, scratch, rows, notes)
    table = [row for row in rows if row["id"] not in reading.failed]
    listed = pd.DataFrame(table, columns=["split", "row", "id", "label", "digest", "content"])
    pairs = [] if near is None else _pairs(near, rows)
    pairs = [pair for pair in pairs if not {pair.first, pair.second} & reading.failed.keys()]
    return IngestedSamples(listed, pairs, found, [*_left_out(reading.failed), *notes])


def _decode(
    reading: _Reading, scratch: Scratch, notes: list[str]
) -> tuple[list[dict[str, Any]], NearDuplicates | None]:
    """Decode all samples, and list and compare those that can be decoded; their arrays go to the scratch file."""
    spec, task, settings = reading.spec, reading.task, reading.settings
    rows: list[dict[str, Any]] = []
    kinds: set[appearance.Kind | None] = set()
    with (
        SignatureFile(reading.folder / "signatures") as signatures,
        Progress(f"decoding {spec.name}", None) as progress,
    ):
        for group in sample_file.groups(reading.source):
            seen = []
            for sample in group:
                try:
                    arrays = task.decode(sample.values, settings)
                except SampleError as error:
                    reading.failed[sample.id] = _reason(error)
                    continue
                scratch.append(arrays)
                seen.append(appearance.of(task, settings, sample.values, arrays))
                key = f"{splits.key(task.key(sample.values, arrays), spec.split.seed):016x}"
                label = label_text(task, sample.values)
                rows.append(
                    {"split": sample.split or "", "row": len(rows), "id": sample.id, "label": label, "digest": key,
                     "content": key}
                )  # fmt: skip
            if seen:
                found = near_duplicates.signatures(seen) if spec.split.near_duplicates != "ignore" else None
                kinds.add(seen[0].kind if found is not None and seen[0] is not None else None)
                if found is not None:
                    signatures.append(found)
            progress.advance(len(group))
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind is not None:
            keys = np.array([int(row["content"], 16) for row in rows], np.uint64)
            return rows, signatures.find(kind, keys)
    why = "`near_duplicates: ignore`" if spec.split.near_duplicates == "ignore" else "they have no comparison"
    notes.append(f"near-duplicates: not looked for among these samples: {why}")
    return rows, None


def _features(reading: _Reading, scratch: Scratch, rows: list[dict[str, Any]], notes: list[str]) -> Features | None:
    """The features of the samples that are not left out; the digests of their arrays are added to their rows."""
    task, name = reading.task, reading.spec.name
    if hasattr(task, "window_example") or not rows:
        return None
    if issubclass(task.input_type, TokensInput):
        return features.of_samples(task, reading.source, reading.folder, [], pd.DataFrame(rows), name)
    try:
        processor = task.fit(reading.settings, (raw for _, raw in _samples(reading, scratch)), _classes(reading))
    except ModelyardError as error:  # such as a column without any value
        notes.append(
            f"labels and outliers: not looked for, no processor can be fitted on these samples: {_reason(error)}"
        )
        return None
    by_id = {row["id"]: row for row in rows}
    listed = []
    with SplitFiles(reading.folder, processor.arrays()) as files, Progress(f"encoding {name}", len(rows)) as progress:
        for identity, raw in _samples(reading, scratch):
            progress.advance(1)
            if (arrays := _encoded(processor, identity, raw, reading.failed)) is None:
                continue
            row = int(files.append(splits.TRAIN, [identity], [arrays])[0])
            by_id[identity]["digest"] = digest_of(arrays, processor.inputs())
            listed.append({**by_id[identity], "split": SPLIT, "row": row})
    specs = list(processor.arrays())
    return features.of_samples(task, reading.source, reading.folder, specs, pd.DataFrame(listed), name)


def _encoded(processor: Processor, identity: str, raw: RawSample, failed: dict[str, str]) -> Arrays | None:
    try:
        return processor.encode([raw])[0]
    except SampleError as error:
        failed[identity] = _reason(error)
        return None


def _reason(error: ModelyardError) -> str:
    return error.what + (f", got {error.got}" if error.got else "")


def _samples(reading: _Reading, scratch: Scratch) -> Iterator[tuple[str, RawSample]]:
    """Ids and samples, without those that could not be decoded."""
    undecodable = frozenset(reading.failed)
    arrays = scratch.read()
    for group in sample_file.groups(reading.source, leave_out=[reading.task.payload_field]):
        for sample in group:
            if sample.id not in undecodable:
                yield sample.id, RawSample(sample.values, next(arrays))


def _classes(reading: _Reading) -> list[str]:
    found: set[str] = set()
    for group in sample_file.groups(reading.source, leave_out=[reading.task.payload_field]):
        for sample in group:
            if sample.id not in reading.failed:
                found.update(reading.task.labels(sample.values))
    return sorted(found)


def _pairs(near: NearDuplicates, rows: list[dict[str, Any]]) -> list[NearPair]:
    found = []
    for (one, other), similarity in zip(near.pairs.tolist(), near.similarity.tolist(), strict=True):
        first, second = rows[one], rows[other]
        found.append(
            NearPair(
                first["id"], second["id"], first["split"], second["split"], first["label"], second["label"], similarity
            )
        )
    return found


def _left_out(failed: dict[str, str]) -> list[str]:
    if not failed:
        return []
    named = ", ".join(f"{identity} ({why})" for identity, why in list(failed.items())[:_SHOWN])
    more = ", …" if len(failed) > _SHOWN else ""
    return [f"{len(failed):,} samples cannot be read, and are not inspected: {named}{more}"]
