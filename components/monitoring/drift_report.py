"""A judged window as one HTML page that stands alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from components.contracts.monitor_spec import MonitorSpec
from components.core import html_page
from components.identity.digest import short
from components.monitoring import drawing
from components.monitoring.drawing import TimelinePoint
from components.monitoring.judgement import DIFFERENT, WindowJudgement

_TEMPLATE = Path(__file__).with_name("drift.html.j2")
HEADS = (
    "column",
    "test",
    "p-value",
    "adjusted",
    "PSI",
    "Jensen-Shannon",
    "Wasserstein",
    "missing before",
    "missing now",
)
MOST_WINDOWS = 120  # in the timeline


class _Row(NamedTuple):
    name: str
    cells: list[str]
    different: bool


def history(target: Path, name: str, package: str) -> list[TimelinePoint]:
    """The windows of the same package that were judged before, in order."""
    paths = sorted(path for path in target.iterdir() if len(path.name) == len(name) and path.name < name)
    found = []
    for path in paths[-MOST_WINDOWS:]:
        verdict = path / "verdict.json"
        document = json.loads(verdict.read_bytes()) if verdict.is_file() else {}
        if document.get("package") == package:
            found.append(_point(document))
    return found


def _point(verdict: dict[str, Any]) -> TimelinePoint:
    monitor = verdict["monitor"]
    return TimelinePoint(
        verdict["window"], verdict["rows"], monitor["log10_evidence"], monitor["log10_threshold"], verdict["alarm"],
        verdict["missed_share"],
    )  # fmt: skip


def render(
    found: WindowJudgement,
    reference: pd.DataFrame,
    before: Sequence[TimelinePoint],
    pages: Sequence[str],
    spec: MonitorSpec,
) -> str:
    """The page.

    Args:
        before: the windows before this one.
        pages: reports of expectations that lie beside it.
    """
    verdict = found.verdict
    adjusted = {one["column"]: one["adjusted_p_value"] for one in verdict["columns"]}
    rows = [_row(one, adjusted.get(one.column)) for one in found.drifts]
    return html_page.render(
        _TEMPLATE,
        verdict=verdict,
        word="alarm" if verdict["alarm"] else "fine",
        reasons=verdict["reasons"],
        facts={
            "answers": f"{verdict['rows']:,}",
            "version": verdict["version"],
            "reference": f"{verdict['reference_rows']:,} samples of validation",
            "expectations met": verdict["expectations_met"],
            "rows that miss one": _share(verdict["missed_share"]),
            "evidence of a change": verdict["evidence_of"],
            "package": short(verdict["package"]),
        },
        timeline=drawing.timeline([*before, _point(verdict)]),
        distributions=drawing.distributions(reference, found.frame, found.drifts),
        heads=HEADS,
        rows=rows,
        false_alarms=spec.false_alarms_per_month,
        sections={
            "All columns together": _joint(verdict["multivariate"]),
            "How good the answers are": _quality(verdict),
            "Expectations that are not met": _expectations(verdict),
        },
        pages=pages,
    )


def _row(one: Any, adjusted: float | None) -> _Row:
    if one.kind not in ("number", "category"):
        words = {"only_reference": "not in this window", "only_window": "not in the reference"}
        return _Row(one.column, [words.get(one.kind, "not compared"), *[""] * (len(HEADS) - 2)], False)
    cells = [
        one.test, _figure(one.p_value), _figure(adjusted), f"{one.psi:.3f}", f"{one.jensen_shannon:.3f}",
        "-" if one.wasserstein is None else f"{one.wasserstein:.3f}", _share(one.missing_reference),
        _share(one.missing_window),
    ]  # fmt: skip
    return _Row(one.column, cells, adjusted is not None and adjusted < DIFFERENT)


def _joint(multivariate: dict[str, Any]) -> list[str]:
    lines = []
    if found := multivariate.get("domain_classifier"):
        largest = sorted((found.get("importances") or {}).items(), key=lambda one: -(one[1] or 0))[:3]
        named = ", ".join(f"{name} ({value:.2f})" for name, value in largest if value)
        if found["statistic"] is not None:
            lines.append(
                f"a classifier tells this window's inputs from the reference with an area under the ROC curve of "
                f"{found['statistic']:.3f} (0.5: not at all), p-value {_figure(found['p_value'])}"
                + (f"; most by {named}" if named else "")
            )
    if (found := multivariate.get("embedding")) and found["statistic"] is not None:
        lines.append(
            f"maximum mean discrepancy of the network's embeddings {found['statistic']:.4g}, p-value "
            f"{_figure(found['p_value'])}"
        )
    return lines


def _quality(verdict: dict[str, Any]) -> list[str]:
    lines = []
    if found := verdict["quality"]:
        if found["value"] is not None:
            lines.append(
                f"estimated accuracy without labels {found['value']:.1%} "
                f"(95 %: {found['low']:.1%} to {found['high']:.1%}); "
                f"on the reference it is {found['of_reference']:.1%}"
            )
        lines += list(found["doubts"])
    for one in verdict["live"]:
        lines.append(
            f"{one['metric']} of {one['samples']:,} answers with a truth: {one['value']:.4f} "
            f"(95 %: {one['low']:.4f} to {one['high'] or math.inf:.4f})"
        )
    if found := verdict["labels"]:
        lines.append(
            f"labels of these answers against the reference's: PSI {found['psi'] or 0:.3f}, p-value "
            f"{_figure(found['p_value'])}"
        )
    return lines


def _expectations(verdict: dict[str, Any]) -> list[str]:
    return [f"{part}: {one['sentence']}" for part, told in verdict["expectations"].items() for one in told["missed"]]


def _figure(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _share(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.1%}"
