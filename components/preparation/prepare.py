"""Raw samples -> memory-mapped arrays by split, in three passes; the memory does not grow with the samples' size.

The first pass decodes each sample's payload once, in several threads, into one scratch file, and keeps a few bytes for
each sample: the key of the draw, the stratum, the split. The second pass fits the task's processor on the train split.
The third pass encodes the samples and writes each to its split. Files are read and written by row group.

Samples pass one by one (sample_passes.py); rows of features by column (row_passes.py), with the same result.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec
from components.contracts.dataset import DatasetSpec
from components.core.atomic import folder as atomic_folder
from components.core.errors import CorruptArtifactError, Problem, SpecError
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample_batch import OtherRowsError
from components.preparation import golden, near_table, row_passes, split_summary, splits
from components.preparation.decoding import Index
from components.preparation.passes import Passes, RawFile, Windows, arrays_of
from components.preparation.row_passes import RowPasses
from components.preparation.sample_passes import SamplePasses
from components.tasks.dataset_file import open_dataset


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
        with _passes(RawFile(table, int(raw.facts["samples"]), spec, task, settings), fresh) as passes:
            index = passes.index
            if len(index.classes) < task.output_type.min_labels:
                message = "a single class: there is nothing to tell apart" if index.classes else "no sample has a label"
                problem = Problem("source", message, got=", ".join(index.classes))
                raise SpecError(str(folder / "dataset.yaml"), (problem,))
            assigned = _assign(index, spec, folder)
            processor = passes.fit(assigned)
            windows = _windows(processor.arrays(), spec, folder)
            passes.encode(processor, assigned, windows, fresh)
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
            "arrays": [array.model_dump(mode="json") for array in arrays_of(processor, spec)],
            **_dependence(index, assigned, spec, fresh),
        }
        if index.near is not None:
            facts["near_duplicates"] = near_table.write(table, fresh, index.near, index.draw.keys, assigned, spec)
        return manifest.seal(fresh, "prepared", facts)


@contextmanager
def _passes(raw: RawFile, folder: Path) -> Iterator[Passes]:
    """The passes over the samples, after the first; their scratch files are in the folder within the block."""
    if row_passes.is_possible(raw):
        try:
            opened = RowPasses(raw, folder / "scratch")
        except OtherRowsError:
            pass
        else:
            with opened:
                yield opened
            return
    with SamplePasses(raw, folder) as one_by_one:
        yield one_by_one


def _dependence(index: Index, assigned: NDArray[np.uint8], spec: DatasetSpec, fresh: Path) -> dict[str, Any]:
    """What makes samples of the test split depend on each other, for the evaluation: nothing, for most datasets.

    `overlap`: number of neighbours, itself included, that a sample shares rows with. clusters.npy (N,): the group of
    each sample of the test split; train-clusters.npy: of the train split, of which a training may take a part.
    """
    if index.draw.groups is not None:
        for name, number in (("clusters", splits.TEST), ("train-clusters", splits.TRAIN)):
            _, clusters = np.unique(index.draw.groups[assigned == number], return_inverse=True)
            np.save(fresh / f"{name}.npy", clusters.astype("<i8"))
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


def _windows(specs: Sequence[ArraySpec], spec: DatasetSpec, folder: Path) -> Windows:
    windows = [array for array in specs if array.layout == "window"]
    if not windows:
        return Windows(0, 1)
    if spec.split.by != "time" or len(windows) < len(specs):
        message = "this task's samples are windows of one table: the splits must be by: time, with rows:"
        raise SpecError(str(folder / "dataset.yaml"), (Problem("split", message),))
    return Windows(max(array.start for array in windows), max(array.stop for array in windows))


def _sample_count(assigned: NDArray[np.uint8], number: int, windows: Windows) -> int:
    """Number of samples of a split: its rows, or the windows within its rows and the look-back before them."""
    rows = int((assigned == number).sum())
    before = 0 if number == splits.TRAIN else min(windows.look_back, int(np.argmax(assigned == number)))
    return max(0, rows + before - windows.length + 1)
