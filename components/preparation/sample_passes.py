"""The passes of preparation, sample by sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import SAMPLE_WEIGHTS, ArraySpec
from components.core.errors import SampleError
from components.core.progress import Progress
from components.ingestion import sample_file
from components.preparation import decoding, splits
from components.preparation.passes import RawFile, Windows, arrays_of
from components.preparation.scratch import Scratch
from components.preparation.split_draw import IndexDraw
from components.preparation.split_files import SampleList, SplitFiles
from components.preprocessing.batch import Arrays
from components.preprocessing.stored import StoredSplit, digest_of
from components.tasks.description import label_text
from components.tasks.task import Processor, RawSample, Task


class SamplePasses:
    """Keeps the decoded arrays of all samples in a scratch file.

    Raises:
        SampleError: a sample cannot be converted to arrays, or lacks its group or its time.
    """

    def __init__(self, raw: RawFile, folder: Path) -> None:
        self._raw = raw
        self._scratch = Scratch(folder / "scratch")
        try:
            index = decoding.decode(
                raw.path, self._scratch, folder / "signatures", raw.spec, raw.task, raw.settings, raw.samples
            )
            self.draw = IndexDraw(index, raw.spec)
        except BaseException:
            self._scratch.__exit__()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._scratch.__exit__(*error)

    def fit(self, assigned: NDArray[np.uint8]) -> Processor:
        """The processor, fitted on the samples of train."""
        train = _train(self._raw.path, self._raw.task, self._scratch, assigned)
        return self._raw.task.fit(self._raw.settings, train, self.draw.classes)

    def encode(self, processor: Processor, assigned: NDArray[np.uint8], windows: Windows, folder: Path) -> None:
        """Write the samples."""
        raw, keys = self._raw, self.draw.index.draw.keys
        arrays = arrays_of(processor, raw.spec)
        _encode(raw.path, folder, raw.task, processor, arrays, self._scratch, assigned, keys, windows, raw.spec.name)


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


def _encode(
    table: Path, fresh: Path, task: Task, processor: Processor, arrays: tuple[ArraySpec, ...], scratch: Scratch,
    assigned: NDArray[np.uint8], keys: NDArray[np.uint64], windows: Windows, name: str,
) -> None:  # fmt: skip
    stored = _stored_rows(assigned, windows.look_back)  # (3, N)
    ids: list[list[str]] = [[] for _ in splits.SPLITS]  # of the table's rows, for samples that are windows
    start = 0
    with (
        SplitFiles(fresh, arrays) as files,
        SampleList(fresh) as listed,
        Progress(f"encoding {name}", len(assigned)) as progress,
    ):
        for group in _read_samples(table, task, scratch):
            group_rows = slice(start, start + len(group))
            needed = np.asarray(stored[:, group_rows].any(axis=0))  # also rows of no split that a look-back reads
            used = [entry for entry, is_needed in zip(group, needed, strict=True) if is_needed]
            used_splits = assigned[group_rows][needed]
            encoded = encode_group(processor, used)
            if SAMPLE_WEIGHTS in arrays:
                for sample, (_, raw) in zip(encoded, used, strict=True):
                    sample[SAMPLE_WEIGHTS.name] = np.asarray(raw.values["weight"][0], np.float32)
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
    fresh: Path, processor: Processor, listed: SampleList, ids: list[list[str]], windows: Windows
) -> None:
    """List each window as a sample; the first predicted row gives the id."""
    for split, names in zip(splits.SPLITS, ids, strict=True):
        stored = StoredSplit(fresh / split, processor.arrays())
        rows = np.arange(len(stored))
        digests = [digest_of(stored.sample(row), processor.inputs()) for row in rows.tolist()]
        named = names[windows.look_back :][: len(stored)]
        listed.append([split] * len(stored), rows, named, [""] * len(stored), digests, digests)


def encode_group(processor: Processor, samples: list[tuple[str, RawSample]]) -> list[Arrays]:
    """The prepared samples.

    Raises:
        SampleError: a sample does not fit; `where` is its id.
    """
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
