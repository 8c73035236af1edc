"""The report as one self-contained HTML page: no scripts, nothing from the network."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from components.contracts.dataset import DatasetSpec
from components.core import html_page
from components.identity import digest
from components.preprocessing import image
from components.validation.chart import stacked_bars
from components.validation.leakage import NearPair
from components.validation.split_report import SplitReport
from components.validation.stored_table import StoredTable, batches
from components.validation.verdict import ExpectationResult, FailingSample, Verdict

MAX_PREVIEWS = 60
_SIDE = 96
_SNIPPET = 240
_TEMPLATE = Path(__file__).with_name("report.html.j2")


class _Sample(NamedTuple):
    """A failing sample as shown: its text, or a small PNG, or neither.

    Args:
        shortened: whether the text goes on.
    """

    id: str
    value: str
    text: str | None
    shortened: bool
    thumbnail: bytes | None


class _Pair(NamedTuple):
    """Two nearly equal samples, side by side."""

    first: _Sample
    second: _Sample


class _Row(NamedTuple):
    """An expectation in the table, with the failing samples to show."""

    met: bool
    description: str
    call: str
    observed: str
    samples: list[_Sample]
    samples_not_shown: int


def counts(table: pd.DataFrame | StoredTable) -> dict[str, dict[str, int]]:
    """Count the samples of each label and split; `not split yet` without a split, `all` without labels."""
    sizes: Counter[tuple[str, str]] = Counter()
    for batch in batches(table, ["label", "split"]):
        split = batch["split"].fillna("not split yet")
        found = batch.groupby([batch["label"].replace("", "all"), split]).size()
        sizes.update({(str(label), str(name)): int(count) for (label, name), count in found.items()})
    result: dict[str, dict[str, int]] = {}
    for label, name in sorted(sizes):
        result.setdefault(label, {})[name] = sizes[label, name]
    return result


def render(
    spec: DatasetSpec, verdict: Verdict, by_label: dict[str, dict[str, int]], previews: dict[str, bytes | str],
    about_splits: SplitReport | None = None,
) -> str:  # fmt: skip
    """Render the page.

    Args:
        by_label: number of samples of each label in each split.
        previews: failing samples, and samples of pairs, by id: image files, or text.
        about_splits: what prepared data's splits let through.
    """
    met, evaluated = verdict.statistics["met"], verdict.statistics["evaluated"]
    total = sum(sum(splits.values()) for splits in by_label.values())
    # Failed expectations come first, each group in the order of the suite.
    ordered = sorted(verdict.results, key=lambda result: result.success)
    return html_page.render(
        _TEMPLATE,
        spec=spec,
        verdict=verdict,
        word="accepted" if verdict.success else "refused",
        facts={
            "samples": f"{total:,}",
            "labels": f"{len(by_label):,}",
            "expectations met": f"{met} of {evaluated}",
            "data": digest.short(verdict.subject_digest),
            "suite": digest.short(verdict.suite_digest),
        },
        chart=stacked_bars(by_label),
        rows=[_row(result, previews) for result in ordered],
        findings=[] if about_splits is None else about_splits.findings,
        across=[] if about_splits is None else [_pair(pair, previews) for pair in about_splits.leakage.across],
        conflicts=[] if about_splits is None else [_pair(pair, previews) for pair in about_splits.leakage.conflicts],
    )


def _pair(pair: NearPair, previews: dict[str, bytes | str]) -> _Pair:
    sides = (
        (pair.first, pair.first_split, pair.first_label),
        (pair.second, pair.second_split, pair.second_label),
    )
    first, second = (
        _sample(FailingSample(identity, ", ".join(filter(None, (split, label)))), previews.get(identity))
        for identity, split, label in sides
    )
    return _Pair(first, second)


def _row(result: ExpectationResult, previews: dict[str, bytes | str]) -> _Row:
    arguments = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in result.kwargs.items())
    failing = () if result.success else result.failing
    return _Row(
        met=result.success,
        description=result.description or result.type,
        call=f"{result.type}({arguments})",
        observed=result.error or result.observed,
        samples=[_sample(sample, previews.get(sample.id)) for sample in failing],
        samples_not_shown=max(0, result.failing_count - len(failing)),
    )


def _sample(failing: FailingSample, preview: bytes | str | None) -> _Sample:
    value = ("null" if failing.value is None else str(failing.value))[:60]
    if isinstance(preview, str):
        return _Sample(failing.id, value, preview[:_SNIPPET], len(preview) > _SNIPPET, None)
    return _Sample(failing.id, value, None, False, None if preview is None else image.thumbnail(preview, _SIDE))
