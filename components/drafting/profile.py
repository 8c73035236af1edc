"""A profile of a source: number of samples, labels, and the values of each column of the sample table."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.contracts.dataset import DatasetSpec
from components.core.errors import SourceError
from components.core.progress import Progress
from components.ingestion import sources
from components.ingestion.remarks import Remarks
from components.tasks import description
from components.tasks.task import Task

MAX_TEXTS = 1000
NAMED = 3  # samples that a note names


@dataclass
class Profile:
    """All samples of a source, described.

    Args:
        splits, labels: number of samples of each.
        columns: what the task describes of each sample, by column of the sample table.
        copies: number of samples of each content, by digest.
        remarks: what the reader leaves out or assumes, one line each.
        content_splits, content_labels: splits and labels of each content, by digest.
        classes: number of samples of each class, where a sample may have several.
        unreadable: ids of the samples that cannot be read, by the kind of their error.
        texts: previews of at most `MAX_TEXTS` samples, spread over all, where previews are texts.
    """

    samples: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    columns: dict[str, list[object]] = field(default_factory=lambda: defaultdict(list))
    copies: Counter[bytes] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)
    content_splits: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    content_labels: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
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

    def numbers(self, column: str) -> list[float]:
        """The finite numbers of a column."""
        values = [float(value) for value in self.columns.get(column, []) if isinstance(value, int | float)]
        return [value for value in values if math.isfinite(value)]

    def values(self, column: str) -> list[object]:
        """All values of a column."""
        return self.columns.get(column, [])

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

    def share(self, groups: dict[bytes, set[str]]) -> float:
        """The share of samples whose content belongs to more than one group (a split, a label)."""
        several = sum(self.copies[digest] for digest, names in groups.items() if len(names) > 1)
        return several / max(1, self.samples)


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
        for sample in samples:
            values = sample.values
            digest = hashlib.sha256(task.content(values)).digest()
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
            profile.copies[digest] += 1
            profile.content_splits[digest].add(sample.split or "")
            profile.content_labels[digest].add(label)
            progress.advance(1)
    profile.remarks = remarks.lines()
    if profile.samples == 0:
        raise SourceError("the source holds no sample", where=where)
    return profile


def _kind(error: str) -> str:
    """The kind of an error: its text before the first colon."""
    return error.partition(":")[0]
