"""Plots of the gates' findings as PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.evaluation.comparison import ChampionComparison
from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, GREY, ORANGE, set_titles, style_axes
from components.gates.latency import EndpointLatency

RED = "#c0352b"
MOST_CLASSES = 20


def draw_comparison(comparison: ChampionComparison) -> bytes:
    """Plot the interval of the gain with the minimum effect, and the gain in each class; shares in points (1 %)."""
    rows = sorted(comparison.slices, key=lambda row: -abs(row.gain))[:MOST_CLASSES]
    rows.sort(key=lambda row: row.gain)
    if not rows:
        figure = Figure(figsize=(8.6, 2.5), layout="constrained")
        _interval(figure.add_subplot(), comparison)
        return _png(figure)
    figure = Figure(figsize=(8.6, 2.5 + 0.6 + 0.24 * len(rows)), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[2.1, 0.6 + 0.24 * len(rows)])
    _interval(upper, comparison)
    values = [comparison.scale * row.gain for row in rows]
    lower.barh(range(len(rows)), values, 0.7, color=[BLUE if value >= 0 else ORANGE for value in values])
    lower.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    lower.axvline(0, color=GREY, linewidth=1)
    widest = max(comparison.scale / 100, *(abs(value) for value in values))
    lower.set_xlim(-1.25 * widest, 1.25 * widest)
    for position, (value, row) in enumerate(zip(values, rows, strict=True)):
        text, side = f"{value:+.3g}  ({row.samples:,})", "left" if value >= 0 else "right"
        lower.annotate(text, (value, position), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center",
                       ha=side, fontsize=7.5, color=DARK)  # fmt: skip
    lower.set_xlabel(f"{_gain_label(comparison)} (samples of the class)")
    subtitle = (
        "" if len(rows) == len(comparison.slices) else f"the {len(rows)} that differ most of {len(comparison.slices)}"
    )
    set_titles(lower, "By class", subtitle)
    style_axes(lower)
    lower.grid(axis="y", visible=False)
    return _png(figure)


def draw_latency(measured: list[EndpointLatency], budget_ms: float) -> bytes:
    """Plot the cumulative distribution of the latencies."""
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for latency, colour in zip(measured, (BLUE, GREY), strict=False):
        if latency.milliseconds:
            shares = np.arange(1, len(latency.milliseconds) + 1) / len(latency.milliseconds)
            label = f"{latency.name}: p50 {latency.percentile(50):.1f} ms, p99 {latency.percentile(99):.1f} ms"
            axes.plot(latency.milliseconds, shares, color=colour, linewidth=2, label=label)
    axes.axvline(budget_ms, color=RED, linestyle="--", linewidth=1.5, label=f"budget of p99: {budget_ms:g} ms")
    axes.axhline(0.99, color=GREY, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds (log)")
    axes.set_ylabel("share of answers")
    axes.legend(frameon=False, loc="lower right")
    set_titles(axes, "Time to answer", "measured in turns, in the same minute")
    style_axes(axes)
    return _png(figure)


def _interval(axes: Axes, comparison: ChampionComparison) -> None:
    lower, upper, middle, min_effect = (
        comparison.scale * x for x in (comparison.lower, comparison.upper, comparison.gain, comparison.min_effect)
    )
    colour = BLUE if comparison.passed else RED
    axes.plot([lower, upper], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.45)
    axes.plot([lower, lower], [-0.22, 0.22], color=colour, linewidth=2.5)
    axes.plot([middle], [0], "o", color=colour, markersize=9)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axvline(min_effect, color=DARK, linestyle="--", linewidth=1.5)
    left, right = min(lower, min_effect, 0), max(upper, min_effect, 0)
    room = 0.12 * max(right - left, comparison.scale / 200)
    axes.set_xlim(left - room, right + room)
    axes.axvspan(left - room, min_effect, color=RED, alpha=0.07, linewidth=0)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    for x, y, text in ((middle, 0.32, f"{middle:+.3g}"), (lower, -0.68, f"at least {lower:+.3g}")):
        axes.text(x, y, text, ha="center", color=colour, fontweight="bold")
    axes.annotate(f"asked: above {min_effect:+g}", (min_effect, 0.96), (4, 0), textcoords="offset points", va="top",
                  color=DARK, fontsize=8)  # fmt: skip
    axes.set_xlabel(_gain_label(comparison))
    word = "enough" if comparison.passed else "not enough"
    set_titles(
        axes,
        f"Difference: {word}",
        f"{comparison.samples:,} test samples, {comparison.confidence:.0%} confidence each side",
    )
    style_axes(axes)
    axes.spines["left"].set_visible(False)


def _gain_label(comparison: ChampionComparison) -> str:
    order = (
        "candidate minus champion" if comparison.higher_is_better else "champion minus candidate, as lower is better"
    )
    return f"{comparison.metric.replace('_', ' ')}: {order}{', in points' if comparison.scale == 100 else ''}"


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return stream.getvalue()
