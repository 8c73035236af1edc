"""The plots of a judged window, as PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.drift.columns import ColumnDrift
from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, GREY, ORANGE, set_titles, style_axes

COLUMNS, BINS, CATEGORIES, TEXT = 3, 24, 10, 22
MOST_PANELS = 9
_PLAIN = 0.02  # population stability index up to which a column is not worth a picture


class TimelinePoint(NamedTuple):
    """A window in the timeline.

    Args:
        evidence: of the monitor after it, against no change; an alarm is raised where it reaches the threshold.
        missed: share of rows that miss an expectation.
    """

    name: str
    rows: int
    evidence: float | None
    threshold: float | None
    alarm: bool
    missed: float | None


def distributions(reference: pd.DataFrame, window: pd.DataFrame, drifts: Sequence[ColumnDrift]) -> bytes | None:
    """The columns that differ most, reference against window; None without a column that is compared."""
    compared = [one for one in drifts if one.kind in ("number", "category")]
    shown = [one for one in compared if one.psi > _PLAIN][:MOST_PANELS] or compared[:COLUMNS]
    if not shown:
        return None
    lines = -(-len(shown) // COLUMNS)
    figure = Figure(figsize=(11.2, 2.7 * lines), layout="constrained")
    panels = np.atleast_1d(figure.subplots(lines, COLUMNS, squeeze=False)).ravel()
    for axes, one in zip(panels, shown, strict=False):
        draw = _numbers if one.kind == "number" else _categories
        draw(axes, reference[one.column], window[one.column])
        set_titles(axes, one.column if len(one.column) <= TEXT else f"{one.column[:TEXT]}…", f"PSI {one.psi:.2f}")
        style_axes(axes)
        axes.tick_params(labelsize=8)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    panels[0].legend(frameon=False, fontsize=8)
    return _png(figure)


def _numbers(axes: Axes, reference: pd.Series, window: pd.Series) -> None:
    first, second = (pd.to_numeric(values, errors="coerce").astype(float) for values in (reference, window))
    both = pd.concat([first, second])
    both = both[np.isfinite(both)]
    if both.empty:
        return
    low, high = np.quantile(both, [0.002, 0.998])
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for values, colour, label, is_filled in ((first, GREY, "reference", True), (second, ORANGE, "this window", False)):
        finite = values[np.isfinite(values)].clip(edges[0], edges[-1])
        shares = np.histogram(finite, edges)[0] / max(1, len(finite))
        axes.stairs(shares, edges, fill=is_filled, color=colour, label=label, linewidth=2)
    axes.set_ylim(bottom=0)


def _categories(axes: Axes, reference: pd.Series, window: pd.Series) -> None:
    shares = [values.fillna("(none)").astype(str).value_counts(normalize=True) for values in (reference, window)]
    names = (shares[0].add(shares[1], fill_value=0)).nlargest(CATEGORIES).index.tolist()[::-1]
    places = np.arange(len(names))
    for offset, one, colour, label in ((0.2, shares[0], GREY, "reference"), (-0.2, shares[1], ORANGE, "this window")):
        axes.barh(places + offset, one.reindex(names, fill_value=0), 0.38, color=colour, label=label)
    axes.set_yticks(places, [name if len(name) <= TEXT else f"{name[:TEXT]}…" for name in names])


def timeline(points: Sequence[TimelinePoint]) -> bytes | None:
    """The evidence of the monitor, and the number of answers, window by window; None for fewer than two windows."""
    if len(points) < 2:
        return None
    figure = Figure(figsize=(11.2, 4.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    places = np.arange(len(points))
    evidence = np.array([np.nan if one.evidence is None else max(one.evidence, 1e-3) for one in points])
    upper.plot(places, evidence, "o-", color=BLUE, markersize=4, label="evidence of a change")
    thresholds = [one.threshold for one in points if one.threshold is not None]
    if thresholds:
        upper.axhline(thresholds[-1], color=ORANGE, linestyle="--", linewidth=1.5, label="alarm")
    alarms = [place for place, one in zip(places, points, strict=True) if one.alarm]
    upper.plot(places[alarms], evidence[alarms], "o", color=ORANGE, markersize=9)
    if np.isfinite(evidence).any():
        upper.set_yscale("log")
    upper.legend(frameon=False, loc="upper left", fontsize=8)
    upper.set_ylabel("power of ten")
    set_titles(upper, "Evidence over time", f"{len(points)} windows")
    lower.bar(places, [one.rows for one in points], color=GREY)
    lower.set_ylabel("answers")
    step = max(1, len(points) // 12)
    lower.set_xticks(places[::step], [one.name[5:] for one in points[::step]], rotation=30, ha="right", fontsize=8)
    for axes in (upper, lower):
        style_axes(axes)
        axes.tick_params(colors=DARK)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None}
    FigureCanvasAgg(figure).print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata=metadata)
    return stream.getvalue()
