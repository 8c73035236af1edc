"""The plot of a comparison: quality against cost, one panel for each cost, one point for each model."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from components.contracts.comparison import ComparisonTable, Row
from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, ORANGE, set_titles, style_axes

COLOURS = {"cnn": BLUE, "rnn": ORANGE, "transformer": "#3c8d5a", "linear": "#8a5fa8", "state-space": "#b0404f"}
MIN_SPAN = 4.0  # smallest ratio of a panel's largest to its smallest cost; equal costs are drawn in the middle
LABEL_POINTS = 11.0  # height of a label


class _Cost(NamedTuple):
    title: str
    unit: str
    values: list[float | None]


def draw(table: ComparisonTable) -> bytes:
    """A PNG of quality with its interval against parameters, training time, latency and size on logarithmic axes."""
    rows = table.rows
    costs = (
        _Cost("Parameters", "weights", [float(row.parameters) for row in rows]),
        _Cost("Training time", "seconds", [row.training_seconds for row in rows]),
        _Cost("Latency", "milliseconds, median of one answer", [row.latency_ms for row in rows]),
        _Cost("Size", "megabytes that serve", [row.serves_bytes / 1e6 for row in rows]),
    )
    figure = Figure(figsize=(10.4, 7.4), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2, sharey=True).ravel()
    for axes, cost in zip(panels, costs, strict=True):
        _panel(axes, rows, cost)
    for axes in (panels[0], panels[2]):
        axes.set_ylabel(_quality_name(table))
    _bound_quality(panels[0], rows)
    figure.draw_without_rendering()  # places the panels: labels need the positions of their points
    for axes, cost in zip(panels, costs, strict=True):
        _labels(axes, rows, cost.values)
    stream = io.BytesIO()
    canvas.print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return stream.getvalue()


def _panel(axes: Axes, rows: list[Row], cost: _Cost) -> None:
    axes.set_xscale("log")
    for row, value in zip(rows, cost.values, strict=True):
        if value is None:
            continue
        quality, colour = row.quality, COLOURS.get(row.family, DARK)
        axes.plot([value, value], [quality.lower, quality.upper], color=colour, linewidth=2.5, alpha=0.4)
        axes.plot([value], [quality.value], "o", color=colour, markersize=8, markeredgecolor="white")
    positive = [value for value in cost.values if value is not None and value > 0]
    if positive:
        middle = math.sqrt(min(positive) * max(positive))
        half = max(math.sqrt(MIN_SPAN), math.sqrt(max(positive) / min(positive)) * 1.5)
        axes.set_xlim(middle / half, middle * half)
        crowded = half > 15
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if crowded else (1.0, 2.0, 5.0)))
    missing = sum(value is None for value in cost.values)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.set_xlabel(cost.unit)
    set_titles(axes, cost.title, f"{missing} not timed" if missing else "")
    style_axes(axes)


def _bound_quality(axes: Axes, rows: list[Row]) -> None:
    """Set the limits of quality to the lowest and the highest bound, with room for labels."""
    lower, upper = min(row.quality.lower for row in rows), max(row.quality.upper for row in rows)
    room = 0.12 * (upper - lower) or 0.05 * (abs(upper) or 1)
    axes.set_ylim(lower - room, upper + room)


def _labels(axes: Axes, rows: list[Row], values: list[float | None]) -> None:
    """Write each name beside its point, on the side with more room, without overlaps."""
    points = axes.figure.dpi / 72
    width = axes.bbox.width
    placed: dict[bool, list[float]] = {True: [], False: []}
    spots = []
    for row, value in zip(rows, values, strict=True):
        if value is not None:
            x, y = axes.transData.transform((value, row.quality.value))
            spots.append((float(y), float(x), row, value))
    for y, x, row, value in sorted(spots, key=lambda spot: spot[0]):
        on_right = x - axes.bbox.x0 < 0.55 * width
        height = y
        for other in placed[on_right]:
            height = max(height, other + LABEL_POINTS * points)
        placed[on_right].append(height)
        axes.annotate(
            row.name, (value, row.quality.value), (9 if on_right else -9, (height - y) / points),
            textcoords="offset points", ha="left" if on_right else "right", va="center", fontsize=8.5, color=DARK,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _quality_name(table: ComparisonTable) -> str:
    better = "higher" if table.higher_is_better else "lower"
    return f"{table.metric.replace('_', ' ')} ({table.split}, {better} is better)"


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
