"""Plots of single tasks: entities, horizons, quantiles, n-grams, precision over recall, generated images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.evaluation.plots import BLUE, DARK, GREY, ORANGE, plain, save, titled

Real = NDArray[np.float64]
MOST_CURVES = 12


def draw_kinds(rows: Sequence[tuple[str, float, float, int]], path: Path) -> None:
    """Plot precision and recall of each entity label: (name, precision, recall, number of true entities)."""
    figure = Figure(figsize=(7.6, 1.6 + 0.5 * max(1, len(rows))), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(rows))
    for shift, place, colour, label in ((-0.19, 1, BLUE, "precision"), (0.19, 2, ORANGE, "recall")):
        axes.barh(places + shift, [row[place] for row in rows], 0.36, color=colour, label=label)
    axes.set_yticks(places, [f"{row[0]} ({row[3]:,})" for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, loc="lower right")
    titled(axes, "Entities", "of the same words and kind")
    plain(axes)
    axes.grid(axis="y", visible=False)
    save(figure, path)


def draw_horizon(squared: Real, absolute: Real, path: Path) -> None:
    """Plot errors (H,) by steps ahead."""
    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(1, len(squared) + 1)
    axes.plot(steps, squared, color=BLUE, linewidth=2, label="mean squared error")
    axes.plot(steps, absolute, color=ORANGE, linewidth=2, label="mean absolute error")
    axes.set_xlabel("steps ahead")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    titled(axes, "Error by horizon", "standardised values, all test windows")
    plain(axes)
    save(figure, path)


def draw_quantiles(rows: Sequence[tuple[float, float]], path: Path) -> None:
    """Plot each quantile against the share of values at or below it."""
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.5, label="perfect calibration")
    axes.plot([row[0] for row in rows], [row[1] for row in rows], "o-", color=BLUE, linewidth=2, label="observed")
    axes.set_xlabel("quantile")
    axes.set_ylabel("share of values at or below it")
    axes.legend(frameon=False)
    titled(axes, "Quantiles", "")
    plain(axes)
    save(figure, path)


def draw_places(rows: Sequence[tuple[int, float]], path: Path) -> None:
    """Plot perplexity by position in the text: (first token of a range, perplexity)."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([row[0] for row in rows], [row[1] for row in rows], "o-", color=BLUE, linewidth=2)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("position in the text, tokens (log)")
    axes.set_ylabel("perplexity")
    titled(axes, "Perplexity by position", "test split")
    plain(axes)
    save(figure, path)


def draw_ngrams(precisions: Sequence[float], path: Path) -> None:
    """Plot the precision of n-grams by order."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    orders = [str(order + 1) for order in range(len(precisions))]
    axes.bar(orders, precisions, 0.6, color=BLUE)
    for place, value in enumerate(precisions):
        axes.text(place, value + 0.02, f"{value:.1%}", ha="center", color=DARK, fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_xlabel("words in a row")
    axes.set_ylabel("share found in the reference")
    titled(axes, "n-grams", "of all answers")
    plain(axes)
    axes.grid(axis="x", visible=False)
    save(figure, path)


def draw_precision_recall(curves: Sequence[tuple[str, float, Real, Real]], path: Path) -> None:
    """Plot precision over recall: (class, average precision, recall (D,), precision (D,))."""
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    shown = sorted(curves, key=lambda curve: -curve[1])[:MOST_CURVES]
    for place, (name, average, recall, precision) in enumerate(shown):
        colour = (BLUE, ORANGE, DARK, GREY)[place % 4]
        style = ("-", "--", ":")[place // 4 % 3]
        axes.plot(recall, precision, style, color=colour, linewidth=2, label=f"{name}: AP {average:.3f}")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    if shown:
        axes.legend(frameon=False, loc="lower left")
    titled(axes, "Precision over recall", "overlap of at least 0.5")
    plain(axes)
    save(figure, path)


def draw_gallery(rows: Sequence[tuple[str, NDArray[Any]]], path: Path) -> None:
    """Plot images (n, H, W, C), one row for each class."""
    columns = max((len(images) for _, images in rows), default=1)
    figure = Figure(figsize=(0.8 + 0.75 * columns, 0.5 + 0.75 * max(1, len(rows))), layout="constrained")
    panels = figure.subplots(max(1, len(rows)), columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for line, (name, images) in zip(panels, rows, strict=False):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", color=DARK)
        for axes, image in zip(line, images, strict=False):
            shown = image[..., 0] if image.shape[-1] == 1 else image
            axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    save(figure, path)
