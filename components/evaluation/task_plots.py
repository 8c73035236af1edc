"""Plots of single tasks: entities, horizons, quantiles, n-grams, precision over recall, generated images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.evaluation.plots import BLUE, DARK, GREY, ORANGE, save, set_titles, style_axes

Real = NDArray[np.float64]
MAX_CURVES = 12


def draw_entities(rows: Sequence[tuple[str, float, float, int]], path: Path) -> None:
    """Plot precision and recall of each entity label: (name, precision, recall, number of true entities)."""
    figure = Figure(figsize=(7.6, 1.6 + 0.5 * max(1, len(rows))), layout="constrained")
    axes = figure.add_subplot()
    positions = np.arange(len(rows))
    for shift, column, colour, label in ((-0.19, 1, BLUE, "precision"), (0.19, 2, ORANGE, "recall")):
        axes.barh(positions + shift, [row[column] for row in rows], 0.36, color=colour, label=label)
    axes.set_yticks(positions, [f"{row[0]} ({row[3]:,})" for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, loc="lower right")
    set_titles(axes, "Entities", "of the same words and kind")
    style_axes(axes)
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
    set_titles(axes, "Error by horizon", "standardised values, all test windows")
    style_axes(axes)
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
    set_titles(axes, "Quantiles", "")
    style_axes(axes)
    save(figure, path)


def draw_positions(rows: Sequence[tuple[int, float]], path: Path) -> None:
    """Plot perplexity by position in the text: (first token of a range, perplexity)."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([row[0] for row in rows], [row[1] for row in rows], "o-", color=BLUE, linewidth=2)
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("position in the text, tokens (log)")
    axes.set_ylabel("perplexity")
    set_titles(axes, "Perplexity by position", "test split")
    style_axes(axes)
    save(figure, path)


def draw_ngrams(precisions: Sequence[float], path: Path) -> None:
    """Plot the precision of n-grams by order."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    orders = [str(order + 1) for order in range(len(precisions))]
    axes.bar(orders, precisions, 0.6, color=BLUE)
    for index, value in enumerate(precisions):
        axes.text(index, value + 0.02, f"{value:.1%}", ha="center", color=DARK, fontsize=9)
    axes.set_ylim(0, 1)
    axes.set_xlabel("words in a row")
    axes.set_ylabel("share found in the reference")
    set_titles(axes, "n-grams", "of all answers")
    style_axes(axes)
    axes.grid(axis="x", visible=False)
    save(figure, path)


def draw_word_errors(rows: Sequence[tuple[str, float]], path: Path) -> None:
    """Plot the rate of each kind of wrong words: (kind, edits for each word that was said)."""
    figure = Figure(figsize=(5.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.bar([name for name, _ in rows], [value for _, value in rows], 0.6, color=BLUE)
    for index, (_, value) in enumerate(rows):
        axes.text(index, value, f"{value:.1%}", ha="center", va="bottom", color=DARK, fontsize=9)
    axes.set_ylim(0, 1.15 * max(0.01, *(value for _, value in rows)))
    axes.set_ylabel("for each word that was said")
    set_titles(axes, "Word errors", "test split")
    style_axes(axes)
    axes.grid(axis="x", visible=False)
    save(figure, path)


def draw_precision_recall(
    curves: Sequence[tuple[str, float, Real, Real]], path: Path, detail: str = "overlap of at least 0.5"
) -> None:
    """Plot precision over recall: (class, average precision, recall (D,), precision (D,)).

    Args:
        detail: what counts as right, or what is counted.
    """
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    best = sorted(curves, key=lambda curve: -curve[1])[:MAX_CURVES]
    for index, (name, average, recall, precision) in enumerate(best):
        colour = (BLUE, ORANGE, DARK, GREY)[index % 4]
        style = ("-", "--", ":")[index // 4 % 3]
        axes.plot(recall, precision, style, color=colour, linewidth=2, label=f"{name}: AP {average:.3f}")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    if best:
        axes.legend(frameon=False, loc="lower left")
    set_titles(axes, "Precision over recall", detail)
    style_axes(axes)
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
    for row_axes, (name, images) in zip(panels, rows, strict=False):
        row_axes[0].set_ylabel(name, rotation=0, ha="right", va="center", color=DARK)
        for axes, image in zip(row_axes, images, strict=False):
            pixels = image[..., 0] if image.shape[-1] == 1 else image
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    save(figure, path)
