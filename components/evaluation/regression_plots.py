"""Plots of a regression: predictions over the truth, residuals over the predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.evaluation.plots import BLUE, GREY, ORANGE, save, set_titles, style_axes

Real = NDArray[np.float64]
MOST = 5000  # points of a plot


def draw_predictions(values: Real, truth: Real, path: Path) -> None:
    """Plot predictions (N,) over the truth (N,), and the line on which they are equal."""
    figure = Figure(figsize=(5.4, 5.0), layout="constrained")
    axes = figure.add_subplot()
    shown = _some(len(truth))
    axes.scatter(truth[shown], values[shown], s=8, color=BLUE, alpha=0.5, linewidths=0)
    ends = [float(min(truth.min(), values.min())), float(max(truth.max(), values.max()))]
    axes.plot(ends, ends, "--", color=ORANGE, linewidth=1.5)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    set_titles(axes, "Predictions", f"test split, {_count(shown, truth)}")
    style_axes(axes)
    save(figure, path)


def draw_residuals(values: Real, truth: Real, path: Path) -> None:
    """Plot residuals (prediction minus truth) over the predictions, and their histogram."""
    figure = Figure(figsize=(8.2, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[3, 1], sharey=True)
    residuals, shown = values - truth, _some(len(truth))
    left.scatter(values[shown], residuals[shown], s=8, color=BLUE, alpha=0.5, linewidths=0)
    left.set_xlabel("predicted")
    left.set_ylabel("predicted - true")
    set_titles(left, "Residuals", f"test split, {_count(shown, truth)}")
    right.hist(residuals, bins=40, orientation="horizontal", color=GREY)
    right.set_xlabel("samples")
    for axes in (left, right):
        axes.axhline(0, color=ORANGE, linestyle="--", linewidth=1.5)
        style_axes(axes)
    save(figure, path)


def _some(count: int) -> NDArray[np.int64]:
    """Indices of at most `MOST` samples, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(np.int64))


def _count(shown: NDArray[np.int64], truth: Real) -> str:
    return f"{len(truth):,} samples" if len(shown) == len(truth) else f"{len(shown):,} of {len(truth):,} samples"
