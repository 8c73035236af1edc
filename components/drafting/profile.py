"""All samples of a source, looked at once: how many, which labels, what each column of the sample table ranges over."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from components.contracts.dataset import DatasetSpec
from components.core.errors import SourceError
from components.core.progress import Progress
from components.ingestion import sources
from components.tasks.task import Task


@dataclass
class Profile:
    """What a source holds.

    Args:
        splits, labels: samples of each.
        looks: what the task says of each sample, by column of the sample table.
        copies: how often each content stands there, by digest.
        homes, names: splits and labels of each content.
    """

    samples: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    looks: dict[str, list[object]] = field(default_factory=lambda: defaultdict(list))
    copies: Counter[bytes] = field(default_factory=Counter)
    homes: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))

    def numbers(self, column: str) -> list[float]:
        """The finite numbers of a column."""
        values = [float(value) for value in self.looks.get(column, []) if isinstance(value, int | float)]
        return [value for value in values if math.isfinite(value)]

    def share(self, groups: dict[bytes, set[str]]) -> float:
        """The share of samples whose content stands in more than one group."""
        wrong = sum(self.copies[digest] for digest, found in groups.items() if len(found) > 1)
        return wrong / max(1, self.samples)


def describe(task: Task, spec: DatasetSpec, folder: Path, where: str) -> Profile:
    """Read every sample of a dataset's source.

    Args:
        where: what a person calls it, for messages.

    Raises:
        SourceError: it cannot be read, or is empty.
    """
    seen = Profile()
    with sources.opened(spec.source, folder) as samples, Progress(f"looking at {spec.name}", None) as progress:
        for sample in samples:
            values = sample.values
            digest = hashlib.sha256(task.content(values)).digest()
            label = str(values["label"]) if "label" in task.fields else ""
            seen.samples += 1
            seen.splits[sample.split or ""] += 1
            if label:
                seen.labels[label] += 1
            for name, value in task.describe(values).items():
                seen.looks[name].append(value)
            seen.copies[digest] += 1
            seen.homes[digest].add(sample.split or "")
            seen.names[digest].add(label)
            progress.advance(1)
    if seen.samples == 0:
        raise SourceError("the source holds no sample", where=where)
    return seen
