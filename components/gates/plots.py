"""Pictures of what the gates found, as PNG."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.evaluation.comparison import ChampionComparison
from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, GREY, ORANGE, plain, titled
from components.gates.latency import Measured

RED = "#c0352b"
MOST_CLASSES = 20


def draw_comparison(found: ChampionComparison) -> bytes:
    """The interval of the gain beside what is asked for, and the gain in each class; shares in points (1 %)."""
    rows = sorted(found.slices, key=lambda row: -abs(row.gain))[:MOST_CLASSES]
    rows.sort(key=lambda row: row.gain)
    if not rows:
        alone = Figure(figsize=(8.6, 2.5), layout="constrained")
        _interval(alone.add_subplot(), found)
        return _png(alone)
    figure = Figure(figsize=(8.6, 2.5 + 0.6 + 0.24 * len(rows)), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=[2.1, 0.6 + 0.24 * len(rows)])
    _interval(upper, found)
    values = [found.scale * row.gain for row in rows]
    lower.barh(range(len(rows)), values, 0.7, color=[BLUE if value >= 0 else ORANGE for value in values])
    lower.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    lower.axvline(0, color=GREY, linewidth=1)
    widest = max(found.scale / 100, *(abs(value) for value in values))
    lower.set_xlim(-1.25 * widest, 1.25 * widest)
    for place, (value, row) in enumerate(zip(values, rows, strict=True)):
        text, side = f"{value:+.3g}  ({row.samples:,})", "left" if value >= 0 else "right"
        lower.annotate(text, (value, place), (4 if value >= 0 else -4, 0), textcoords="offset points", va="center",
                       ha=side, fontsize=7.5, color=DARK)  # fmt: skip
    lower.set_xlabel(f"{_gain_of(found)} (samples of the class)")
    some = "" if len(rows) == len(found.slices) else f"the {len(rows)} that differ most of {len(found.slices)}"
    titled(lower, "By class", some)
    plain(lower)
    lower.grid(axis="y", visible=False)
    return _png(figure)


def draw_latency(found: list[Measured], budget_ms: float) -> bytes:
    """The share of answers that took at most so long."""
    figure = Figure(figsize=(8.6, 3.0), layout="constrained")
    axes = figure.add_subplot()
    for one, colour in zip(found, (BLUE, GREY), strict=False):
        if one.milliseconds:
            shares = np.arange(1, len(one.milliseconds) + 1) / len(one.milliseconds)
            label = f"{one.name}: p50 {one.percentile(50):.1f} ms, p99 {one.percentile(99):.1f} ms"
            axes.plot(one.milliseconds, shares, color=colour, linewidth=2, label=label)
    axes.axvline(budget_ms, color=RED, linestyle="--", linewidth=1.5, label=f"budget of p99: {budget_ms:g} ms")
    axes.axhline(0.99, color=GREY, linestyle=":", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds (log)")
    axes.set_ylabel("share of answers")
    axes.legend(frameon=False, loc="lower right")
    titled(axes, "Time to answer", "measured in turns, in the same minute")
    plain(axes)
    return _png(figure)


def _interval(axes: Axes, found: ChampionComparison) -> None:
    lower, upper, middle, least = (found.scale * x for x in (found.lower, found.upper, found.gain, found.min_effect))
    colour = BLUE if found.passed else RED
    axes.plot([lower, upper], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.45)
    axes.plot([lower, lower], [-0.22, 0.22], color=colour, linewidth=2.5)
    axes.plot([middle], [0], "o", color=colour, markersize=9)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axvline(least, color=DARK, linestyle="--", linewidth=1.5)
    left, right = min(lower, least, 0), max(upper, least, 0)
    room = 0.12 * max(right - left, found.scale / 200)
    axes.set_xlim(left - room, right + room)
    axes.axvspan(left - room, least, color=RED, alpha=0.07, linewidth=0)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    for x, y, text in ((middle, 0.32, f"{middle:+.3g}"), (lower, -0.68, f"at least {lower:+.3g}")):
        axes.text(x, y, text, ha="center", color=colour, fontweight="bold")
    axes.annotate(f"asked: above {least:+g}", (least, 0.96), (4, 0), textcoords="offset points", va="top", color=DARK,
                  fontsize=8)  # fmt: skip
    axes.set_xlabel(_gain_of(found))
    word = "enough" if found.passed else "not enough"
    titled(axes, f"Difference: {word}", f"{found.samples:,} test samples, {found.confidence:.0%} confidence each side")
    plain(axes)
    axes.spines["left"].set_visible(False)


def _gain_of(found: ChampionComparison) -> str:
    order = "candidate minus champion" if found.higher_is_better else "champion minus candidate, as lower is better"
    return f"{found.metric.replace('_', ' ')}: {order}{', in points' if found.scale == 100 else ''}"


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return stream.getvalue()
