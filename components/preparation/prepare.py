"""Raw samples -> memory-mapped arrays by split, in three passes; the memory does not grow with the samples' size.

The first pass decodes each sample's payload once, in several threads, into one scratch file, and keeps a few bytes for
each sample: the key of the draw, the stratum, the split. The second pass fits the task's processor on the train split.
The third pass encodes the samples and writes each to its split. Files are read and written by row group.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec
from components.core.atomic import folder as atomic_folder
from components.core.errors import CorruptArtifactError, Problem, SampleError, SpecError
from components.core.progress import Progress
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.preparation import decoding, golden, near_table, split_summary, splits
from components.preparation.decoding import Index
from components.preparation.scratch import Scratch
from components.preparation.split_files import SampleList, SplitFiles
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit, digest_of
from components.tasks.dataset_file import open_dataset
from components.tasks.description import label_text
from components.tasks.task import Processor, RawSample, Task


class _Windows(NamedTuple):
    """Size of samples that are windows of a table: rows of the input, and all rows. 0 and 1 for other samples."""

    look_back: int
    length: int


def prepare(folder: Path) -> manifest.Manifest:
    """Write `.modelyard/staging/<dataset>/prepared` from `raw/`; atomic.

    Raises:
        CorruptArtifactError: raw/ or validated/ differs from its manifest, or the verdict is on other raw data.
        SampleError: a sample cannot be converted to arrays.
        SpecError: the splits do not fit the task.
    """
    spec, task, settings = open_dataset(folder)
    raw = manifest.verify(folder / "raw", "raw")
    validated = manifest.verify(folder / "validated", "validated")
    if validated.facts["raw_digest"] != raw.digest:
        raise CorruptArtifactError(
            "the verdict is on other raw data",
            where=str(folder / "validated"),
            got=validated.facts["raw_digest"],
            expected=raw.digest,
            next_step="run validate again",
        )
    table = folder / "raw" / sample_file.FILE_NAME
    target = Project(Path()).state / "staging" / spec.name / "prepared"
    with atomic_folder(target) as fresh:
        with Scratch(fresh / "scratch") as scratch:
            index = decoding.decode(
                table, scratch, fresh / "signatures", spec, task, settings, int(raw.facts["samples"])
            )
            if len(index.classes) < task.output_type.min_labels:
                message = "a single class: there is nothing to tell apart" if index.classes else "no sample has a label"
                problem = Problem("source", message, got=", ".join(index.classes))
                raise SpecError(str(folder / "dataset.yaml"), (problem,))
            assigned = _assign(index, spec, folder)
            train = _train(table, task, scratch, assigned)
            processor = task.fit(settings, train, index.classes)
            windows = _windows(processor.arrays(), spec, folder)
            _encode(table, fresh, task, processor, scratch, assigned, index.draw.keys, windows, spec.name)
        processor.save(fresh)
        counts = {name: _sample_count(assigned, number, windows) for number, name in enumerate(splits.SPLITS)}
        if short := [name for name, count in counts.items() if count < 1]:
            rows = f"the splits {' and '.join(short)} are shorter than a window of {windows.length} rows"
            raise SpecError(str(folder / "dataset.yaml"), (Problem("split.rows", rows),))
        if windows.look_back:
            first = max(0, int(np.argmax(assigned == splits.TEST)) - windows.look_back)
            golden.write_windows(table, fresh / "golden", task, first, counts["test"], *windows)
        else:
            golden.write(table, fresh / "golden", task, assigned, index.draw.classes)
        facts: dict[str, Any] = {
            "dataset": spec.name,
            "task": spec.task,
            "raw_digest": raw.digest,
            "validated_digest": validated.digest,
            "classes": index.classes,
            "counts": counts,
            "arrays": [array.model_dump(mode="json") for array in processor.arrays()],
            **_dependence(index, assigned, spec, fresh),
        }
        if index.near is not None:
            facts["near_duplicates"] = near_table.write(table, fresh, index.near, index.draw.keys, assigned, spec)
        return manifest.seal(fresh, "prepared", facts)


def _dependence(index: Index, assigned: NDArray[np.uint8], spec: DatasetSpec, fresh: Path) -> dict[str, Any]:
    """What makes samples of the test split depend on each other, for the evaluation: nothing, for most datasets.

    `overlap`: number of neighbours, itself included, that a sample shares rows with. clusters.npy (N,): the group of
    each sample of the test split.
    """
    if index.draw.groups is not None:
        _, clusters = np.unique(index.draw.groups[assigned == splits.TEST], return_inverse=True)
        np.save(fresh / "clusters.npy", clusters.astype("<i8"))
    overlap = int(getattr(getattr(spec.source, "layout", None), "overlap", 1))
    return {"overlap": overlap} if overlap > 1 else {}


def _assign(index: Index, spec: DatasetSpec, folder: Path) -> NDArray[np.uint8]:
    if spec.split.rows is not None:
        assigned = splits.by_time(len(index.draw.keys), spec.split.rows, spec.split.purge)
    elif index.times is not None:
        assigned = splits.newest_last(index.times, spec.split)
        _say_purged(index, assigned, spec)
    else:
        assigned = splits.assign(index.draw, spec.split)
        _say_shares(index, assigned, spec)
    for line in near_table.lines(index.near, assigned, spec):
        print(f"{spec.name}: {line}", file=sys.stderr)
    if missing := [name for number, name in enumerate(splits.SPLITS) if not (assigned == number).any()]:
        rare = split_summary.rare(index.draw.classes, index.strata)
        message = f"no sample is left for {' and '.join(missing)}" + (f": {rare}" if rare else "")
        raise SpecError(str(folder / "dataset.yaml"), (Problem("split", message),))
    return assigned


def _say_purged(index: Index, assigned: NDArray[np.uint8], spec: DatasetSpec) -> None:
    counts = ", ".join(f"{name} {int((assigned == number).sum()):,}" for number, name in enumerate(splits.SPLITS))
    purged = int((assigned == splits.UNUSED).sum())
    left_out = f"; {purged:,} samples before the borders are in no split (purge: {spec.split.purge})" if purged else ""
    given = int((index.draw.source_splits != splits.OPEN).sum())
    ignored = f"; the source's splits of {given:,} samples do not count" if given else ""
    print(f"{spec.name}: splits by time: {counts}{left_out}{ignored}", file=sys.stderr)


def _say_shares(index: Index, assigned: NDArray[np.uint8], spec: DatasetSpec) -> None:
    """Print what is not as asked: shares of drawn splits, classes that are not in every split, groups cut by splits."""
    for line in split_summary.lines(index.draw, index.strata, assigned, spec.split):
        print(f"{spec.name}: {line}", file=sys.stderr)


def _read_samples(table: Path, task: Task, scratch: Scratch) -> Iterator[list[tuple[str, RawSample]]]:
    """Ids and samples of each row group."""
    arrays = scratch.read()
    for group in sample_file.groups(table, leave_out=[task.payload_field]):
        yield [(sample.id, RawSample(sample.values, next(arrays))) for sample in group]


def _train(table: Path, task: Task, scratch: Scratch, assigned: NDArray[np.uint8]) -> Iterator[RawSample]:
    row = 0
    for group in _read_samples(table, task, scratch):
        for _, raw in group:
            if assigned[row] == splits.TRAIN:
                yield raw
            row += 1


def _windows(specs: Sequence[ArraySpec], spec: DatasetSpec, folder: Path) -> _Windows:
    windows = [array for array in specs if array.layout == "window"]
    if not windows:
        return _Windows(0, 1)
    if spec.split.by != "time" or len(windows) < len(specs):
        message = "this task's samples are windows of one table: the splits must be by: time, with rows:"
        raise SpecError(str(folder / "dataset.yaml"), (Problem("split", message),))
    return _Windows(max(array.start for array in windows), max(array.stop for array in windows))


def _encode(
    table: Path, fresh: Path, task: Task, processor: Processor, scratch: Scratch, assigned: NDArray[np.uint8],
    keys: NDArray[np.uint64], windows: _Windows, name: str,
) -> None:  # fmt: skip
    stored = _stored_rows(assigned, windows.look_back)  # (3, N)
    ids: list[list[str]] = [[] for _ in splits.SPLITS]  # of the table's rows, for samples that are windows
    start = 0
    with (
        SplitFiles(fresh, processor.arrays()) as files,
        SampleList(fresh) as listed,
        Progress(f"encoding {name}", len(assigned)) as progress,
    ):
        for group in _read_samples(table, task, scratch):
            group_rows = slice(start, start + len(group))
            needed = np.asarray(stored[:, group_rows].any(axis=0))  # also rows of no split that a look-back reads
            used = [entry for entry, is_needed in zip(group, needed, strict=True) if is_needed]
            used_splits = assigned[group_rows][needed]
            encoded = _encode_group(processor, used)
            rows = np.zeros(len(used), np.int64)
            for number, mask in enumerate(stored[:, group_rows][:, needed]):
                chosen = np.flatnonzero(mask).tolist()
                names = [used[position][0] for position in chosen]
                split_rows = files.append(number, names, [encoded[position] for position in chosen])
                if windows.look_back:
                    ids[number] += names
                else:
                    rows[mask] = split_rows
            if not windows.look_back:
                labels = [label_text(task, raw.values) for _, raw in used]
                digests = [digest_of(sample, processor.inputs()) for sample in encoded]
                group_ids = [identity for identity, _ in used]
                contents = [f"{key:016x}" for key in keys[group_rows][needed].tolist()]
                names = [splits.SPLITS[number] for number in used_splits]
                listed.append(names, rows, group_ids, labels, digests, contents)
            start += len(group)
            progress.advance(len(group))
        if windows.look_back:
            files.close()
            _list_windows(fresh, processor, listed, ids, windows)


def _list_windows(
    fresh: Path, processor: Processor, listed: SampleList, ids: list[list[str]], windows: _Windows
) -> None:
    """List each window as a sample; the first predicted row gives the id."""
    for split, names in zip(splits.SPLITS, ids, strict=True):
        stored = StoredSplit(fresh / split, processor.arrays())
        rows = np.arange(len(stored))
        digests = [digest_of(stored.sample(row), processor.inputs()) for row in rows.tolist()]
        named = names[windows.look_back :][: len(stored)]
        listed.append([split] * len(stored), rows, named, [""] * len(stored), digests, digests)


def _encode_group(processor: Processor, samples: list[tuple[str, RawSample]]) -> list[Arrays]:
    if not samples:
        return []
    try:
        return processor.encode([raw for _, raw in samples])
    except SampleError:
        for identity, raw in samples:
            try:
                processor.encode([raw])
            except SampleError as error:
                raise decoding.with_id(error, identity) from error
        raise


def _stored_rows(assigned: NDArray[np.uint8], look_back: int) -> NDArray[np.bool_]:
    """Masks (3, N) of the rows written to each split: its rows, and `look_back` rows before the first of them."""
    stored: NDArray[np.bool_] = assigned == np.arange(len(splits.SPLITS), dtype=np.uint8)[:, None]
    for mask in stored[1:]:
        first = int(np.argmax(mask))
        mask[max(0, first - look_back) : first] = True
    return stored


def _sample_count(assigned: NDArray[np.uint8], number: int, windows: _Windows) -> int:
    """Number of samples of a split: its rows, or the windows within its rows and the look-back before them."""
    rows = int((assigned == number).sum())
    before = 0 if number == splits.TRAIN else min(windows.look_back, int(np.argmax(assigned == number)))
    return max(0, rows + before - windows.length + 1)
