"""The plot of an advice: the metric over samples, parameters and steps, with the fitted law and its 90 % interval."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from components.contracts.advice import Advice, Curve, Lever
from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, GREY, ORANGE, set_titles, style_axes

NEAREST_TICKS = 1.4
_TITLES: dict[Curve, tuple[str, str]] = {
    "data": ("Data", "training samples"),
    "model": ("Model", "parameters"),
    "time": ("Training time", "steps, as a share of the pipeline's"),
}


def draw(advice: Advice) -> bytes:
    """A PNG with one panel for each lever."""
    figure = Figure(figsize=(12.6, 4.0), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(advice.levers))
    for axes, lever in zip(panels, advice.levers, strict=True):
        _panel(axes, lever, advice)
    better = "higher" if advice.higher_is_better else "lower"
    panels[0].set_ylabel(f"{advice.metric.replace('_', ' ')} ({advice.split}, {better} is better)")
    stream = io.BytesIO()
    canvas.print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata={"Software": None})
    return stream.getvalue()


def _panel(axes: Axes, lever: Lever, advice: Advice) -> None:
    title, unit = _TITLES[lever.curve]
    axes.set_xscale("log", base=2)
    points = [one for one in advice.measurements if lever.curve in one.curves]
    for point in points:
        size, quality = point.size(lever.curve), point.quality
        colour = ORANGE if point.is_base else DARK
        axes.plot([size, size], [quality.lower, quality.upper], color=GREY, linewidth=1.5, alpha=0.7)
        axes.plot([size], [quality.value], "o", color=colour, markersize=6, markeredgecolor="white", zorder=3)
    present = advice.base.size(lever.curve)
    if lever.band is not None:
        axes.fill_between(lever.band.sizes, lever.band.lower, lever.band.upper, color=BLUE, alpha=0.15, linewidth=0)
        axes.plot(lever.band.sizes, lever.band.values, color=BLUE, linewidth=2)
    if lever.predicted is not None:
        estimate = lever.predicted
        axes.errorbar(
            [2 * present],
            [estimate.value],
            yerr=[[max(0.0, estimate.value - estimate.lower)], [max(0.0, estimate.upper - estimate.value)]],
            fmt="D",
            color=BLUE,
            markerfacecolor="white",
            capsize=4,
        )
    ticks = _apart([*(point.size(lever.curve) for point in points), 2 * present])
    axes.set_xticks(ticks, [_short(size) for size in ticks])
    axes.minorticks_off()
    axes.set_xlabel(unit)
    set_titles(axes, title, "no law could be fitted" if lever.law is None else "90 % interval of the law")
    style_axes(axes)


def _apart(sizes: list[float]) -> list[float]:
    """Sizes in order, without those that are so near to the one before that their labels would overlap."""
    kept: list[float] = []
    for size in sorted(sizes):
        if not kept or size / kept[-1] > NEAREST_TICKS:
            kept.append(size)
    return kept


def _short(size: float) -> str:
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:.3g}"
