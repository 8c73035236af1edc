"""The plot of a scenario: the quality over the days, and what was raised and done, for each policy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from components.evaluation.plots import BLUE, DARK, DOTS_PER_INCH, GREY, ORANGE, set_titles, style_axes
from components.rehearsal.outcome import Rehearsed
from components.rehearsal.world import HOURS_A_DAY

GREEN, RED, PALE = "#2e7d4f", "#b3402c", "#fdf1ea"
SMOOTH_DAYS, ENOUGH = 3, 500  # days that a curve is the mean of, where days have fewer answers than that
_LANES = ("false alarm", "alarm", "order", "held back", "version")


def timeline(group: Sequence[Rehearsed]) -> bytes:
    """A PNG file.

    Args:
        group: each policy in one scenario.
    """
    has_quality = group[0].cost.wrong is not None
    heights = ([3.0] if has_quality else [1.6]) + [1.5] * len(group)
    figure = Figure(figsize=(11.2, 0.6 + sum(heights)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
    (_quality if has_quality else _traffic)(panels[0], group)
    for axes, one in zip(panels[1:], group, strict=True):
        _lanes(axes, one)
    changed = group[0].changed
    for axes in panels:
        if changed is not None:
            axes.axvspan(changed / HOURS_A_DAY, len(group[0].days), color=PALE, zorder=0)
            axes.axvline(changed / HOURS_A_DAY, color=ORANGE, linewidth=1.2, zorder=1)
        axes.set_xlim(0, len(group[0].days))
        style_axes(axes)
        axes.tick_params(colors=DARK, labelsize=8)
    panels[-1].set_xlabel("days")
    stream = io.BytesIO()
    metadata: dict[str, Any] = {"Software": None}
    FigureCanvasAgg(figure).print_figure(stream, dpi=DOTS_PER_INCH, format="png", metadata=metadata)
    return stream.getvalue()


def _quality(axes: Axes, group: Sequence[Rehearsed]) -> None:
    """Daily accuracy of all answers, with each policy and without one."""
    days = np.arange(len(group[0].days)) + 0.5
    first = group[0]
    answered = [day.answers for day in first.days]
    days_each = 1 if np.median(answered) >= ENOUGH else SMOOTH_DAYS
    without = _smooth([day.wrong_without or 0 for day in first.days], [day.requests for day in first.days], days_each)
    axes.plot(days, without, color=GREY, linewidth=2.2, label="without a policy")
    for one, colour in zip(group, (BLUE, GREEN), strict=False):
        quality = _smooth([day.wrong or 0 for day in one.days], [day.answers for day in one.days], days_each)
        axes.plot(days, quality, color=colour, linewidth=2.2, label=one.policy)
        promoted = [event.hour / HOURS_A_DAY for event in one.events if event.kind == "promoted"]
        for day in promoted:
            axes.axvline(day, color=colour, linestyle=":", linewidth=1.2)
    told = np.array([np.nan if day.accuracy is None or day.labels < 10 else day.accuracy for day in first.days])
    if np.isfinite(told).any():
        axes.plot(days, told, ".", color=GREY, markersize=4, label=f"labels of the day ({first.policy})")
    if first.changed is not None:
        axes.annotate(
            "the change", (first.changed / HOURS_A_DAY, 0.03), (4, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", color=ORANGE, fontsize=9,
        )  # fmt: skip
    axes.set_ylabel("accuracy")
    axes.legend(frameon=False, fontsize=8, loc="best", framealpha=0.8)
    means = "daily means" if days_each == 1 else f"means of {days_each} days"
    set_titles(axes, first.scenario.replace("_", " "), f"{sum(answered):,} answers, {means}")


def _traffic(axes: Axes, group: Sequence[Rehearsed]) -> None:
    """The number of answers, where nothing is known of their quality."""
    days = np.arange(len(group[0].days)) + 0.5
    axes.bar(days, [day.answers for day in group[0].days], color=GREY, width=0.9)
    axes.set_ylabel("answers")
    set_titles(axes, group[0].scenario.replace("_", " "), "what is right and wrong is not known")


def _lanes(axes: Axes, one: Rehearsed) -> None:
    """What happened, a lane for each kind."""
    marks: dict[str, tuple[list[float], str, str]] = {
        "false alarm": ([a.hour for a in one.alarms if a.is_true is False], "x", RED),
        "alarm": ([a.hour for a in one.alarms if a.is_true is not False], "o", ORANGE),
        "order": ([o.hour for o in one.orders if o.mode != "hold_back"], "D", BLUE),
        "held back": ([o.hour for o in one.orders if o.mode == "hold_back"], "|", GREY),
        "version": ([], "^", GREEN),
    }
    for place, name in enumerate(_LANES):
        hours, mark, colour = marks[name]
        axes.plot(np.array(hours) / HOURS_A_DAY, np.full(len(hours), place), mark, color=colour, markersize=6)
    colours = {"promoted": GREEN, "challenger": BLUE, "taken_away": RED, "rolled_back": RED, "stopped": RED}
    shapes = {"promoted": "^", "challenger": "o", "taken_away": "v", "rolled_back": "v", "stopped": "s"}
    used = dict.fromkeys(event.kind for event in one.events if event.kind in shapes)
    for event in one.events:
        if event.kind in shapes:
            axes.plot(event.hour / HOURS_A_DAY, 4, shapes[event.kind], color=colours[event.kind], markersize=7)
    if used:
        handles = [
            Line2D([], [], color=colours[kind], marker=shapes[kind], linestyle="", label=kind.replace("_", " "))
            for kind in used
        ]
        axes.legend(handles=handles, frameon=False, fontsize=7, loc="lower right", ncols=len(used),
                    bbox_to_anchor=(1, 0.98), borderaxespad=0.1)  # fmt: skip
    axes.set_yticks(range(len(_LANES)), _LANES)
    axes.set_ylim(-0.6, len(_LANES) - 0.4)
    axes.set_title(one.policy, loc="left", fontsize=9, color=DARK)


def _smooth(wrong: Sequence[int], answers: Sequence[int], days: int) -> NDArray[np.float64]:
    """The accuracy, the mean of a day and the days before it; NaN without answers."""
    window = np.ones(days)
    counts = np.convolve(answers, window)[: len(answers)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(counts > 0, 1 - np.convolve(wrong, window)[: len(wrong)] / counts, np.nan)
