"""What changed between two versions of a dataset, sample by sample, by the digest of the content.

The content is that of the raw sample without its label (`Task.content`), so that settings of the preparation and the
seed of the splits do not count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from components.versioning.data_version import DataVersion

QUANTILES = (0.05, 0.5, 0.95)


class SampleState(NamedTuple):
    """A sample in one version; split "" if it is in none, label "" if samples have no single label."""

    id: str
    digest: str
    label: str
    split: str
    bytes: int


class SampleChange(NamedTuple):
    """A value of a sample before and after; `id` is that of the newer version."""

    id: str
    before: str
    after: str


class DataDifference(NamedTuple):
    """What differs.

    Args:
        before, after: names of the versions.
        added, gone: ids of samples whose content is in one version only.
        replaced: ids of samples that have another content; they are neither in `added` nor in `gone`.
        relabelled, moved, renamed: samples of equal content with another label, split, id.
        labels, splits: counts before and after.
        sizes: bytes of a sample at `QUANTILES`, before and after.
        totals: number of samples before and after.
    """

    before: str
    after: str
    added: list[str]
    gone: list[str]
    replaced: list[str]
    relabelled: list[SampleChange]
    moved: list[SampleChange]
    renamed: list[SampleChange]
    labels: dict[str, tuple[int, int]]
    splits: dict[str, tuple[int, int]]
    sizes: tuple[list[float], list[float]]
    totals: tuple[int, int]

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not any((self.added, self.gone, self.replaced, self.relabelled, self.moved, self.renamed))

    def to_json(self) -> str:
        """As JSON text."""
        changes = ("relabelled", "moved", "renamed")
        document: dict[str, Any] = {
            **self._asdict(), **{name: [change._asdict() for change in getattr(self, name)] for name in changes},
        }  # fmt: skip
        return json.dumps(document, indent=1, ensure_ascii=False)


def compare(before: DataVersion, after: DataVersion) -> DataDifference:
    """Compare two versions."""
    return of_samples(before.name, _read(before), after.name, _read(after))


def of_samples(
    before_name: str, before: Sequence[SampleState], after_name: str, after: Sequence[SampleState]
) -> DataDifference:
    """Compare the samples of two versions."""
    old, new = _by_digest(before), _by_digest(after)
    pairs: list[tuple[SampleState, SampleState]] = []
    gone, added = [], []
    for digest in dict.fromkeys([*old, *new]):
        matched, left, right = _match(old.get(digest, []), new.get(digest, []))
        pairs += matched
        gone += left
        added += right
    gone_ids, added_ids = {one.id for one in gone}, {one.id for one in added}
    return DataDifference(
        before=before_name,
        after=after_name,
        added=[one.id for one in added if one.id not in gone_ids],
        gone=[one.id for one in gone if one.id not in added_ids],
        replaced=[one.id for one in added if one.id in gone_ids],
        relabelled=[SampleChange(b.id, a.label, b.label) for a, b in pairs if a.label != b.label],
        moved=[SampleChange(b.id, a.split, b.split) for a, b in pairs if a.split != b.split],
        renamed=[SampleChange(b.id, a.id, b.id) for a, b in pairs if a.id != b.id],
        labels=_counts((one.label for one in before), (one.label for one in after)),
        splits=_counts((one.split for one in before), (one.split for one in after)),
        sizes=(_quantiles(before), _quantiles(after)),
        totals=(len(before), len(after)),
    )


def _read(version: DataVersion) -> list[SampleState]:
    prepared = pq.read_table(version.prepared, columns=["id", "split"])
    splits = dict(zip(prepared["id"].to_pylist(), prepared["split"].to_pylist(), strict=True))
    raw = pq.read_table(version.validated, columns=["id", "digest", "label", "bytes"])
    rows = zip(*(raw[name].to_pylist() for name in ("id", "digest", "label", "bytes")), strict=True)
    return [
        SampleState(identity, digest, label, splits.get(identity, ""), size) for identity, digest, label, size in rows
    ]


def _by_digest(samples: Sequence[SampleState]) -> dict[str, list[SampleState]]:
    found: dict[str, list[SampleState]] = {}
    for sample in samples:
        found.setdefault(sample.digest, []).append(sample)
    return found


def _match(
    old: list[SampleState], new: list[SampleState]
) -> tuple[list[tuple[SampleState, SampleState]], list[SampleState], list[SampleState]]:
    """Pair samples of equal content: those of equal ids first, then of equal labels, then in order."""
    pairs = []
    for alike in (
        lambda a, b: a.id == b.id,
        lambda a, b: a.label == b.label and a.split == b.split,
        lambda a, b: a.label == b.label,
        lambda a, b: True,
    ):
        rest = []
        for one in old:
            other = next((candidate for candidate in new if alike(one, candidate)), None)
            if other is None:
                rest.append(one)
                continue
            pairs.append((one, other))
            new = [candidate for candidate in new if candidate is not other]
        old = rest
    return pairs, old, new


def _counts(before: Iterable[str], after: Iterable[str]) -> dict[str, tuple[int, int]]:
    one, other = Counter(before), Counter(after)
    return {name: (one[name], other[name]) for name in sorted({*one, *other})}


def _quantiles(samples: Sequence[SampleState]) -> list[float]:
    sizes = [sample.bytes for sample in samples]
    return [float(value) for value in np.quantile(sizes, QUANTILES)] if sizes else []
