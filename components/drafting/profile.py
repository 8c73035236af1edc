"""A profile of a source: number of samples, labels, and the values of each column of the sample table."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.contracts.dataset import DatasetSpec
from components.core.ahead import ahead
from components.core.errors import SourceError
from components.core.progress import Progress
from components.drafting import described_columns
from components.drafting.contents import Contents
from components.drafting.described_columns import NumberValues
from components.ingestion import columns, sources
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample
from components.ingestion.sample_batch import FeatureSamples, SampleBatch
from components.tasks import description, rows_by_column
from components.tasks.task import Task

MAX_TEXTS = 1000
NAMED = 3  # samples that a note names


@dataclass
class Profile:
    """All samples of a source, described.

    Args:
        splits, labels: number of samples of each.
        columns: what the task describes of each sample, by column of the sample table.
        copies: which samples have equal contents; `values` is the number of samples of each content.
        remarks: what the reader leaves out or assumes, one line each.
        classes: number of samples of each class, where a sample may have several.
        unreadable: ids of the samples that cannot be read, by the kind of their error.
        texts: previews of at most `MAX_TEXTS` samples, spread over all, where previews are texts.
    """

    samples: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    columns: dict[str, Any] = field(default_factory=lambda: defaultdict(list))
    copies: Contents = field(default_factory=Contents)
    remarks: list[str] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    texts: list[str] = field(default_factory=list)
    _stride: int = 1

    def add_text(self, text: str) -> None:
        """Keep the text of the sample counted last, if its turn comes: each second, fourth, ... of many samples."""
        if (self.samples - 1) % self._stride:
            return
        self.texts.append(text)
        if len(self.texts) >= MAX_TEXTS:
            self.texts, self._stride = self.texts[::2], 2 * self._stride

    def text_rows(self, count: int) -> Iterator[int]:
        """Count so many samples; yields the numbers of those whose turn it is for `add_text`, one after the other."""
        first = self.samples
        place = -first % self._stride
        while place < count:
            self.samples = first + place + 1
            yield place
            place += self._stride - (first + place) % self._stride
        self.samples = first + count

    def numbers(self, column: str) -> list[float]:
        """The finite numbers of a column."""
        found = self.columns.get(column, [])
        if isinstance(found, NumberValues):
            numbers: list[float] = found.finite().tolist()
            return numbers
        values = [float(value) for value in found if isinstance(value, int | float)]
        return [value for value in values if math.isfinite(value)]

    def values(self, column: str) -> Sequence[object]:
        """All values of a column."""
        found: Sequence[object] = self.columns.get(column, [])
        return found

    @property
    def content_splits(self) -> Sequence[int]:
        """The number of each sample's split, for `share`."""
        return self.copies.splits

    @property
    def content_labels(self) -> Sequence[int]:
        """The number of each sample's label, for `share`."""
        return self.copies.labels

    def unreadable_notes(self) -> list[str]:
        """The samples that cannot be read: number, kind of error and the first ids, a kind a sentence."""
        kinds = sorted(self.unreadable.items(), key=lambda kind: -len(kind[1]))
        return [
            f"{len(ids):,} of {self.samples:,} samples cannot be read: {why} ({', '.join(ids[:NAMED])}"
            + (f" and {len(ids) - NAMED:,} more)" if len(ids) > NAMED else ")")
            for why, ids in kinds
        ]

    def require_readable(self, where: str) -> None:
        """Refuse a source of which no sample can be read.

        Raises:
            SourceError: there is no readable sample; `got` says why, by kind.
        """
        if sum(map(len, self.unreadable.values())) < self.samples:
            return
        raise SourceError(
            "no sample can be read",
            where=where,
            got="; ".join(self.unreadable_notes()),
            expected="files of the kinds that the task reads",
            next_step="convert or remove these files",
        )

    def share(self, groups: Sequence[int]) -> float:
        """The share of samples whose content belongs to more than one group (a split, a label)."""
        return self.copies.share(groups)


def describe(task: Task, spec: DatasetSpec, folder: Path, where: str, settings: Any = None) -> Profile:
    """Read and describe every sample of a dataset's source.

    Args:
        where: name of the source in messages.
        settings: the task's settings; None before they are chosen.

    Raises:
        SourceError: the source cannot be read, or is empty.
    """
    profile, remarks = Profile(), Remarks()
    with (
        sources.open_source(spec.source, folder, remarks) as samples,
        Progress(f"describing {spec.name}", None) as progress,
    ):
        if isinstance(samples, FeatureSamples) and rows_by_column.has(task):
            for found in ahead(samples.batches()):
                before = profile.samples
                if isinstance(found, SampleBatch):
                    _add_batch(profile, task, found)
                else:
                    for sample in found:
                        _add(profile, task, sample, settings)
                progress.advance(profile.samples - before)
        else:
            for sample in samples:
                _add(profile, task, sample, settings)
                progress.advance(1)
    profile.remarks = remarks.lines()
    if profile.samples == 0:
        raise SourceError("the source holds no sample", where=where)
    return profile


def _add(profile: Profile, task: Task, sample: Sample, settings: Any) -> None:
    """Describe a sample."""
    values = sample.values
    is_class = "label" in task.fields and bool(task.labels(values))
    label = description.label_text(task, values)
    if task.output_type.min_labels and "label" not in task.fields:
        profile.classes.update(task.labels(values))
    profile.samples += 1
    profile.splits[sample.split or ""] += 1
    if is_class and label:
        profile.labels[label] += 1
    facts = description.describe(task, values, settings)
    for name, value in facts.items():
        profile.columns[name].append(value)
    if task.payload_field == "" and isinstance(preview := task.preview(values), str):
        profile.add_text(preview)
    if facts.get("readable") is False:
        profile.unreadable[_kind(str(facts.get("error")))].append(sample.id)
    profile.copies.add(task.content(values), sample.split or "", label)


def _add_batch(profile: Profile, task: Task, batch: SampleBatch) -> None:
    """Describe rows of features, as `_add` does one by one."""
    splits = columns.codes(columns.filled(batch.splits, ""))
    labels = (
        columns.codes(batch.texts["label"]) if "label" in task.fields else (np.zeros(len(splits[0]), np.int32), [""])
    )
    for counter, (numbers, names) in ((profile.splits, splits), (profile.labels, labels)):
        counts = np.bincount(numbers, minlength=len(names)).tolist()
        named = dict(zip(names, counts, strict=True))
        counter.update(named if counter is profile.splits else {name: n for name, n in named.items() if name})
    for name, values in rows_by_column.described(batch.rows, batch.targets).items():
        profile.columns[name] = described_columns.extended(profile.columns.get(name), values)
    for row in profile.text_rows(batch.rows.size):
        if isinstance(preview := task.preview({"row": batch.rows.row(row)}), str):
            profile.add_text(preview)
    profile.copies.add_many(batch.contents(), splits, labels)


def _kind(error: str) -> str:
    """The kind of an error: its text before the first colon."""
    return error.partition(":")[0]
