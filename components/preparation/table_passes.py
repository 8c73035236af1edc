"""The passes of preparation over rows of features, by column and partition; the memory is that of a partition.

Legend: N samples.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from components.ingestion import columns
from components.preparation import partitions, splits
from components.preparation.column_file import ColumnFile
from components.preparation.decoding import Index
from components.preparation.encoded_partition import EncodedPartition
from components.preparation.key_buckets import SAMPLE, KeyBuckets
from components.preparation.partition_runner import PartitionRunner
from components.preparation.partition_tasks import ASSIGNED, PROCESSOR, DecodedPartition, EncodeTarget, PartitionTasks
from components.preparation.passes import RawFile, Windows
from components.preparation.split_draw import IndexDraw, KeyDraw, SplitDraw
from components.preparation.split_files import SampleList, SplitFiles, WrittenRows
from components.preparation.splits import Draw
from components.tasks import rows_by_column
from components.tasks.rows_by_column import TrainColumns
from components.tasks.task import Processor


def is_possible(raw: RawFile) -> bool:
    """Whether the samples may be rows of features that are prepared by column."""
    split = raw.spec.split
    return rows_by_column.has(raw.task) and split.by == "sample" and split.group in (None, "group")


class TablePasses:
    """Keeps the features of all samples in a folder of files, one a partition.

    Raises:
        OtherRowsError: the samples cannot be read by column; the folder is removed.
    """

    def __init__(self, raw: RawFile, folder: Path, runner: PartitionRunner) -> None:
        self._raw, self._folder, self._runner = raw, folder, runner
        self._partitions = partitions.of(raw.path, runner.partition_rows, runner.workers)
        # Absolute paths, which processes in other folders find too.
        self._tasks = PartitionTasks(raw.path.absolute(), folder.absolute(), raw.spec)
        folder.mkdir()
        try:
            label = f"decoding {raw.spec.name}"
            self._decoded = list(runner.map(self._tasks.decode, self._partitions, label))
            self.draw: SplitDraw = self._key_draw() if raw.spec.split.group is None else self._index_draw()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)

    def _files(self) -> Iterator[tuple[int, ColumnFile, DecodedPartition]]:
        """First row, file and summary of each partition."""
        for partition, decoded in zip(self._partitions, self._decoded, strict=True):
            yield partition.start, self._tasks.columns(partition), decoded

    def _class_names(self) -> list[str]:
        return sorted({name for decoded in self._decoded for name in decoded.labels})

    def _class_numbers(self) -> Iterator[NDArray[np.int32]]:
        """The classes of the samples of each partition, -1 without."""
        places = {name: place for place, name in enumerate(self._class_names())}
        has_labels = "label" in self._raw.task.fields
        for partition, (_, file, decoded) in zip(self._partitions, self._files(), strict=True):
            own = np.array([*(places[name] for name in decoded.labels), -1], np.int32)
            yield own[file.array("labels")] if has_labels else np.full(partition.rows, -1, np.int32)

    def _key_draw(self) -> KeyDraw:
        rows = self._raw.samples
        buckets = KeyBuckets(self._folder / "keys", rows)
        for (start, file, _), numbers in zip(self._files(), self._class_numbers(), strict=True):
            samples = np.zeros(len(numbers), SAMPLE)
            samples["key"], samples["split"] = file.array("keys"), file.array("source_splits")
            samples["row"], samples["class"] = np.arange(start, start + len(numbers)), numbers
            buckets.append(samples)
        counts: Counter[int] = Counter()
        for decoded in self._decoded:
            counts.update(decoded.source_splits)
        assigned: NDArray[np.uint8] = np.memmap(self._folder / ASSIGNED, np.uint8, "w+", shape=(rows,))
        return KeyDraw(buckets, assigned, counts, self._class_names(), self._class_numbers, self._raw.spec)

    def _index_draw(self) -> IndexDraw:
        """Groups are drawn together by the classes of all their samples: a few bytes of each sample are in memory."""

        def whole(name: str) -> NDArray[Any]:
            return np.concatenate([file.array(name) for _, file, _ in self._files()])

        places = [(place,) for place in range(len(self._class_names()))]
        classes: list[tuple[int, ...]] = []
        for numbers in self._class_numbers():
            classes += [places[number] if number >= 0 else () for number in numbers.tolist()]
        draw = Draw(whole("keys"), classes, whole("source_splits"), whole("groups"), None)
        names = self._class_names()
        return IndexDraw(Index(draw, names, names, None, None), self._raw.spec)

    def fit(self, assigned: NDArray[np.uint8]) -> Processor:
        """The processor, fitted on the samples of train."""
        assigned.tofile(self._folder / ASSIGNED) if not isinstance(assigned, np.memmap) else assigned.flush()
        numbers, categories = self._raw.spec.columns_by_kind()
        label = f"fitting {self._raw.spec.name}"
        counts: dict[str, Counter[str | None]] = {name: Counter() for name in categories}
        if categories:
            for found in self._runner.map(self._tasks.count_categories, self._partitions, f"{label}, categories"):
                for name, one in found.items():
                    counts[name].update(one)
        names = [*numbers, *([None] if "target" in self._raw.task.fields else [])]
        with_quantiles = getattr(self._raw.settings, "scaling", "quantile") == "quantile"
        fit = partial(self._tasks.fit_numbers, partitions=self._partitions, with_quantiles=with_quantiles)
        fitted = dict(zip(names, self._runner.map(fit, names, f"{label}, numbers"), strict=True))
        task: Any = self._raw.task
        processor: Processor = task.fit_columns(
            self._raw.settings,
            TrainColumns(
                [(name, fitted[name]) for name in numbers], list(counts.items()), self.draw.classes, fitted.get(None)
            ),
        )
        return processor

    def encode(self, processor: Processor, assigned: NDArray[np.uint8], windows: Windows, folder: Path) -> None:
        """Write the samples."""
        (self._folder / PROCESSOR).mkdir()
        processor.save(self._folder / PROCESSOR)
        with SplitFiles(folder, processor.arrays()) as files, SampleList(folder) as listed:
            for part in self._encoded(assigned, folder):
                is_written = bool(len(part.numbers)) and not part.arrays
                rows = (
                    files.append_written(part.numbers) if is_written else files.append_batch(part.numbers, part.arrays)
                )
                names = columns.of_codes(part.numbers.astype(np.int32), splits.SPLITS)
                texts = [part.listed[name] for name in ("id", "label", "digest", "content")]
                listed.append_columns([names, columns.integers(rows), *texts])

    def _encoded(self, assigned: NDArray[np.uint8], folder: Path) -> Iterator[EncodedPartition]:
        label = f"encoding {self._raw.spec.name}"
        if self._runner.place == "process":
            yield from self._runner.map(self._tasks.encode, self._partitions, label)
            return
        targets = list(self._targets(assigned, folder.absolute()))
        for path in self._runner.map(self._tasks.encode_to_file, targets, label):
            yield EncodedPartition.take(path)

    def _targets(self, assigned: NDArray[np.uint8], folder: Path) -> Iterator[EncodeTarget]:
        """The partitions, with the places of their samples where workers of this machine write into our files."""
        first = np.zeros(len(splits.SPLITS), np.int64)
        for partition in self._partitions:
            rows = WrittenRows(folder, tuple(first.tolist())) if self._runner.place == "machine" else None
            yield EncodeTarget(partition, rows)
            first += splits.counts(assigned[partition.start : partition.start + partition.rows])[: len(first)]
