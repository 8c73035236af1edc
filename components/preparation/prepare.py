"""Raw samples -> memory-mapped arrays by split, in three passes; the memory does not grow with the samples' size.

The first pass decodes each sample's payload once, in several threads, into one scratch file, and keeps a few bytes for
each sample: the key of the draw, the stratum, the split. The second pass fits the task's processor on the train split.
The third pass encodes the samples and writes each to its split. Files are read and written by row group.

Samples pass one by one (sample_passes.py); rows of features by column and partition (table_passes.py), with the same
result, in this process or on a Dask cluster (partition_runner.py).
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
from components.core.errors import CorruptArtifactError, Problem, SpecError, UsageError
from components.core.project import Project
from components.identity import manifest
from components.ingestion import sample_file
from components.ingestion.sample_batch import OtherRowsError
from components.preparation import golden, near_table, partition_runner, splits, table_passes
from components.preparation.passes import Passes, RawFile, Windows, arrays_of
from components.preparation.sample_passes import SamplePasses
from components.preparation.split_draw import IndexDraw, SplitDraw
from components.preparation.table_passes import TablePasses
from components.tasks import rows_by_column
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
            draw = passes.draw
            if len(draw.classes) < task.output_type.min_labels:
                message = "a single class: there is nothing to tell apart" if draw.classes else "no sample has a label"
                problem = Problem("source", message, got=", ".join(draw.classes))
                raise SpecError(str(folder / "dataset.yaml"), (problem,))
            assigned = _assign(draw, spec, folder)
            processor = passes.fit(assigned)
            windows = _windows(processor.arrays(), spec, folder)
            passes.encode(processor, assigned, windows, fresh)
            golden_rows = [] if windows.look_back else draw.golden_rows(assigned)
        processor.save(fresh)
        counts = {name: _sample_count(assigned, number, windows) for number, name in enumerate(splits.SPLITS)}
        if short := [name for name, count in counts.items() if count < 1]:
            rows = f"the splits {' and '.join(short)} are shorter than a window of {windows.length} rows"
            raise SpecError(str(folder / "dataset.yaml"), (Problem("split.rows", rows),))
        if windows.look_back:
            first = max(0, int(np.argmax(assigned == splits.TEST)) - windows.look_back)
            golden.write_windows(table, fresh / "golden", task, first, counts["test"], *windows)
        else:
            golden.write(table, fresh / "golden", task, golden_rows)
        facts: dict[str, Any] = {
            "dataset": spec.name,
            "task": spec.task,
            "raw_digest": raw.digest,
            "validated_digest": validated.digest,
            "classes": draw.classes,
            "counts": counts,
            "arrays": [array.model_dump(mode="json") for array in arrays_of(processor, spec)],
            **_dependence(draw, assigned, spec, fresh),
        }
        if draw.near is not None and isinstance(draw, IndexDraw):
            facts["near_duplicates"] = near_table.write(table, fresh, draw.near, draw.index.draw.keys, assigned, spec)
        return manifest.seal(fresh, "prepared", facts)


@contextmanager
def _passes(raw: RawFile, folder: Path) -> Iterator[Passes]:
    """The passes over the samples, after the first; their scratch files are in the folder within the block."""
    with partition_runner.opened(folder) as runner:
        if table_passes.is_possible(raw):
            try:
                opened = TablePasses(raw, folder / "scratch", runner)
            except OtherRowsError:
                pass
            else:
                with opened:
                    yield opened
                return
        if runner.place != "process":
            raise UsageError(
                "these samples are not prepared by partitions",
                where="run.prepare",
                got=rows_by_column.no_partitions(raw.spec, raw.task)
                or "rows that are not written as ingestion writes them",
                expected="rows of a table",
                next_step="prepare them on this machine: `run: {prepare: {runner: local}}`",
            )
    with SamplePasses(raw, folder) as one_by_one:
        yield one_by_one


def _dependence(draw: SplitDraw, assigned: NDArray[np.uint8], spec: DatasetSpec, fresh: Path) -> dict[str, Any]:
    """What makes samples of the test split depend on each other, for the evaluation: nothing, for most datasets.

    `overlap`: number of neighbours, itself included, that a sample shares rows with. clusters.npy (N,): the group of
    each sample of the test split; train-clusters.npy: of the train split, of which a training may take a part.
    """
    if draw.groups is not None:
        for name, number in (("clusters", splits.TEST), ("train-clusters", splits.TRAIN)):
            _, clusters = np.unique(draw.groups[assigned == number], return_inverse=True)
            np.save(fresh / f"{name}.npy", clusters.astype("<i8"))
    overlap = int(getattr(getattr(spec.source, "layout", None), "overlap", 1))
    return {"overlap": overlap} if overlap > 1 else {}


def _assign(draw: SplitDraw, spec: DatasetSpec, folder: Path) -> NDArray[np.uint8]:
    """The split of each sample; prints what is not as asked: shares of drawn splits, classes that are not in each."""
    assigned = draw.assign()
    for line in [*draw.remarks(assigned), *near_table.lines(draw.near, assigned, spec)]:
        print(f"{spec.name}: {line}", file=sys.stderr)
    counts = splits.counts(assigned)
    if missing := [name for number, name in enumerate(splits.SPLITS) if not counts[number]]:
        rare = draw.rare()
        message = f"no sample is left for {' and '.join(missing)}" + (f": {rare}" if rare else "")
        raise SpecError(str(folder / "dataset.yaml"), (Problem("split", message),))
    return assigned


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
    rows = int(splits.counts(assigned)[number])
    before = (
        0
        if number == splits.TRAIN or not windows.look_back
        else min(windows.look_back, int(np.argmax(assigned == number)))
    )
    return max(0, rows + before - windows.length + 1)
