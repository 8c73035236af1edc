"""What the splits of a prepared dataset let through: copies, near-duplicates, groups and times across splits.

Everything here is reported; nothing is refused, and expectations decide.
"""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq

from components.contracts.dataset import DatasetSpec
from components.ingestion import sample_file, times
from components.tasks.task import Task
from components.validation import raw_rows, telling_features
from components.validation.stored_table import StoredTable, batches

NEAR_FILE = "near_duplicates.parquet"
SHOWN = 12  # pairs that are shown
ALONE = 0.95  # share of the samples whose label a column tells alone, from which it is named
COMMON = 0.8  # share of the commonest label up to which that says anything
_MIN_SIZE = 20  # samples of a value, on average


class SplitFinding(NamedTuple):
    """One sentence, and whether a person should act on it."""

    text: str
    doubtful: bool = False


class NearPair(NamedTuple):
    """Two nearly equal samples: ids, splits ("" for none), labels ("" without), and their similarity."""

    first: str
    second: str
    first_split: str
    second_split: str
    first_label: str
    second_label: str
    similarity: float


class Leakage(NamedTuple):
    """What was found.

    Args:
        across: pairs of two splits, at most `SHOWN`; those with test first.
        conflicts: pairs of two labels, at most `SHOWN`.
        features: sentences about features that tell the answer alone; they are findings too.
    """

    findings: list[SplitFinding]
    across: list[NearPair]
    conflicts: list[NearPair]
    features: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "findings": [finding._asdict() for finding in self.findings],
            "across": [pair._asdict() for pair in self.across],
            "conflicts": [pair._asdict() for pair in self.conflicts],
        }


def examine(
    task: Task, spec: DatasetSpec, raw: Path, prepared: Path, table: pd.DataFrame | StoredTable, facts: dict[str, Any],
    described: Path | None,
) -> Leakage:  # fmt: skip
    """Look at a prepared dataset.

    Args:
        raw: the file of raw samples.
        prepared: folder of the prepared data.
        table: its sample table (`prepared_table.build`).
        facts: of its manifest.
        described: the file of the sample table of the raw data (`raw_table.build`), if there is one.
    """
    windows = hasattr(task, "window_example")
    findings = [] if windows else _copies(table, sample_file.count(raw))
    near = pairs(prepared / NEAR_FILE)
    findings += _near(near, facts, spec, windows)
    field = spec.split.group or ("group" if "group" in spec.source_fields() else None)
    if field is not None:
        findings.append(_groups(field, raw, table))
    if "time" in spec.source_fields() and not windows:
        findings += _times(raw, table)
    if described is not None:
        findings += [SplitFinding(text, True) for text in _telling_columns(task, described)]
    features = _telling_features(task, table, described) if described is not None and not windows else []
    findings += [SplitFinding(text, True) for text in features]
    across = [pair for pair in near if pair.first_split != pair.second_split and pair.first_split and pair.second_split]
    across.sort(key=lambda pair: ("test" not in (pair.first_split, pair.second_split), -pair.similarity))
    conflicts = [*_unlike_copies(task, table), *conflicting(near)]
    return Leakage(findings, across[:SHOWN], conflicts[:SHOWN], tuple(features))


def _telling_features(task: Task, table: pd.DataFrame | StoredTable, described: Path) -> list[str]:
    answer = telling_features.answer_of(task.fields)
    return [] if answer is None else telling_features.sentences(telling_features.examine(table, described, answer))


def _unlike_copies(task: Task, table: pd.DataFrame | StoredTable) -> list[NearPair]:
    """Equal samples of two labels: one pair of each content, at most `SHOWN`."""
    equal = "content" if task.input_type.lossy else "digest"
    found: dict[str, list[Any]] = {}  # the first rows of two labels, by content
    for batch in batches(table, ["id", "split", "label", equal, "label_conflict"]):
        for row in batch[batch["label_conflict"]].itertuples():
            content = getattr(row, equal)
            if len(found) < SHOWN or content in found:
                rows = found.setdefault(content, [])
                if len(rows) < 2 and all(row.label != other.label for other in rows):
                    rows.append(row)
        if len(found) == SHOWN and all(len(rows) == 2 for rows in found.values()):
            break
    return [
        NearPair(one.id, other.id, one.split, other.split, one.label, other.label, 1.0) for one, other in found.values()
    ]


def _copies(table: pd.DataFrame | StoredTable, raw_count: int) -> list[SplitFinding]:
    shared = conflicts = 0
    for batch in batches(table, ["in_other_split", "label_conflict"]):
        shared, conflicts = shared + int(batch["in_other_split"].sum()), conflicts + int(batch["label_conflict"].sum())
    found = [SplitFinding("no sample equals one of another split")]
    if shared:
        found = [SplitFinding(f"{shared:,} samples equal a sample of another split", True)]
    if left_out := raw_count - len(table):
        found.append(SplitFinding(f"{left_out:,} of {raw_count:,} samples of the source are in no split"))
    if conflicts:
        found.append(SplitFinding(f"{conflicts:,} samples equal one of another label", True))
    return found


def pairs(path: Path) -> list[NearPair]:
    """The pairs of near-duplicates of a prepared dataset; none where they were not looked for."""
    if not path.is_file():
        return []
    rows = pq.read_table(path, columns=list(NearPair._fields)).to_pylist()
    return [NearPair(**row) for row in rows]


def _near(found_pairs: list[NearPair], facts: dict[str, Any], spec: DatasetSpec, windows: bool) -> list[SplitFinding]:
    about = facts.get("near_duplicates")
    if about is None:
        why = "`near_duplicates: ignore`" if spec.split.near_duplicates == "ignore" else (
            "windows of one series" if windows else "samples of this kind have no comparison"
        )  # fmt: skip
        return [SplitFinding(f"near-duplicates were not looked for: {why}")]
    measure = f"{about['measure']} of at least {about['threshold']}"
    if not found_pairs:
        return [SplitFinding(f"no near-duplicates ({measure})")]
    found = [
        SplitFinding(f"{about['samples']:,} samples are near-duplicates, in {about['groups']:,} groups ({measure})")
    ]
    for split, count in about["across"].items():
        others = "validation or test" if split == "train" else "test"
        found.append(SplitFinding(f"{count:,} samples of {split} are near-duplicates of one of {others}", True))
    if conflicts := conflicting(found_pairs):
        found.append(SplitFinding(f"{len(conflicts):,} pairs of near-duplicates have two labels", True))
    if not about["complete"]:
        found.append(SplitFinding("so many samples are alike that not all pairs were compared", True))
    return found


def conflicting(found_pairs: list[NearPair]) -> list[NearPair]:
    """The pairs of two labels."""
    return [
        pair for pair in found_pairs if pair.first_label != pair.second_label and pair.first_label and pair.second_label
    ]


def _groups(field: str, raw: Path, table: pd.DataFrame | StoredTable) -> SplitFinding:
    of_group: dict[str, set[str]] = {}
    for value, split in raw_rows.with_splits(raw, field, table):
        of_group.setdefault(value, set()).add(split)
    cut = sorted(value for value, names in of_group.items() if len(names) > 1)
    if not cut:
        return SplitFinding(f"each of {len(of_group):,} values of {field} is in one split")
    named = ", ".join(cut[:5]) + (", …" if len(cut) > 5 else "")
    return SplitFinding(f"{len(cut):,} of {len(of_group):,} values of {field} are in several splits: {named}", True)


def _times(raw: Path, table: pd.DataFrame | StoredTable) -> list[SplitFinding]:
    moments: dict[str, array[float]] = {}
    for value, split in raw_rows.with_splits(raw, "time", table):
        parsed = times.parse(value)
        if parsed is not None:
            moments.setdefault(split, array("d")).append(times.seconds(parsed))
    if "test" not in moments or "train" not in moments:
        return []
    first = min(moments["test"])
    later = sum(moment >= first for moment in moments["train"])
    if not later:
        return [SplitFinding("every sample of train is older than every sample of test")]
    share = f"{later:,} of {len(moments['train']):,} samples of train"
    return [SplitFinding(f"{share} are not older than the first of test: a model may learn from what came after", True)]


def _telling_columns(task: Task, described: Path) -> list[str]:
    """Columns of the raw table that tell the label alone, such as a width that every image of a class has."""
    if "label" not in task.fields:
        return []
    names = [*task.raw_columns, "bytes"]
    labels: Counter[str] = Counter()
    for batch in raw_rows.described(described, ["label"]):
        labels.update(batch["label"].value_counts().to_dict())
    count = pq.read_metadata(described).num_rows
    if len(labels) < 2 or max(labels.values()) / count > COMMON:
        return []
    pairs_of: dict[str, dict[Any, Counter[str]]] = {name: {} for name in names}  # labels of each value
    for batch in raw_rows.described(described, ["label", *names]):
        for name, of_value in list(pairs_of.items()):
            for (value, label), size in batch.groupby([name, "label"], sort=False).size().items():
                of_value.setdefault(value, Counter())[label] += int(size)
            if len(of_value) > count / _MIN_SIZE:
                del pairs_of[name]
    found = []
    for name, of_value in pairs_of.items():
        right = sum(max(of_label.values()) for of_label in of_value.values())
        if len(of_value) >= 2 and right / count >= ALONE:
            found.append(f"{name} alone tells the label of {right / count:.0%} of the samples")
    return found
