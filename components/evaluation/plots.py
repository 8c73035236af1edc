"""Plots of an evaluation, as PNG files. Without pyplot: no global state, no window system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from components.evaluation.calibration import Bin, expected_calibration_error

DARK, GREY, BLUE, ORANGE = "#22313f", "#9aa5b1", "#2f6fab", "#d9722e"
DOTS_PER_INCH = 130
LARGEST_NUMBERED = 25  # classes; the cells of more classes are too small for numbers


def draw_confusion(confusion: NDArray[np.int64], classes: list[str], path: Path) -> None:
    """Plot counts (K, K) as numbers, shares of the true class as colour."""
    count = len(classes)
    side = max(5.0, min(16.0, 1.8 + 0.52 * count))
    figure = Figure(figsize=(side + 0.9, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)  # (K, K)
    # The square root lets the rare confusions be seen beside the diagonal.
    image = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    if count <= LARGEST_NUMBERED:
        rotated = max(len(name) for name in classes) > 3
        axes.set_xticks(range(count), classes, rotation=45 if rotated else 0, ha="right" if rotated else "center")
        axes.set_yticks(range(count), classes)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.35 else DARK
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    correct = np.trace(confusion)
    set_titles(axes, "Confusion matrix", f"test split, {correct:,} of {confusion.sum():,} right")
    bar = figure.colorbar(image, ax=axes, fraction=0.045, pad=0.03)
    bar.set_ticks([0, 0.1**0.5, 0.5, 1], labels=["0", "10 %", "25 %", "100 %"])
    bar.set_label("share of the true class")
    bar.outline.set_visible(False)
    save(figure, path)


def draw_reliability(bins: list[Bin], path: Path, before: list[Bin] | None = None) -> None:
    """Plot accuracy over confidence by bin, and the number of samples.

    Args:
        before: the bins before the calibration, if there was one.
    """
    figure = Figure(figsize=(5.4, 6.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    occupied = [bin_ for bin_ in bins if bin_.samples]
    width = 1 / len(bins)
    centres = [(bin_.lower + bin_.upper) / 2 for bin_ in occupied]
    upper.bar(centres, [bin_.accuracy for bin_ in occupied], width * 0.92, color=BLUE, alpha=0.85, label="accuracy")
    upper.plot(
        [bin_.confidence for bin_ in occupied], [bin_.accuracy for bin_ in occupied], "o", color=DARK, markersize=4
    )
    if before is not None:
        earlier = [bin_ for bin_ in before if bin_.samples]
        places = [bin_.confidence for bin_ in earlier], [bin_.accuracy for bin_ in earlier]
        upper.plot(*places, "s-", color=GREY, markersize=4, linewidth=1, label="before calibration")
    upper.plot([0, 1], [0, 1], "--", color=ORANGE, linewidth=1.5, label="perfect calibration")
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy")
    upper.legend(frameon=False, loc="upper left")
    set_titles(upper, "Reliability", _errors(bins, before))
    lower.bar(centres, [bin_.samples for bin_ in occupied], width * 0.92, color=GREY)
    lower.set_yscale("log")
    lower.set_ylabel("samples")
    lower.set_xlabel("confidence of the answer")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        style_axes(axes)
    save(figure, path)


def _errors(bins: list[Bin], before: list[Bin] | None) -> str:
    after = f"expected calibration error {expected_calibration_error(bins):.4f}"
    return after if before is None else f"{after}, before {expected_calibration_error(before):.4f}"


def draw_training(history: list[dict[str, float]], kept_epoch: int, path: Path) -> None:
    """Plot loss, metric and learning rate over the epochs; the kept epoch is marked."""
    names = [name.partition("/")[2] for name in history[0] if name.startswith("validation/")]
    names.sort(key=lambda name: name != "loss")
    figure = Figure(figsize=(3.7 * (len(names) + 1), 3.6), layout="constrained")
    *panels, rates = figure.subplots(1, len(names) + 1)
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(panels, names, strict=True):
        for split, colour in (("train", GREY), ("validation", BLUE)):
            if f"{split}/{name}" in history[0]:
                values = [row[f"{split}/{name}"] for row in history]
                marker = "." if len(epochs) < 40 else None
                axes.plot(epochs, values, color=colour, linewidth=2, label=split, marker=marker)
        axes.legend(frameon=False)
        set_titles(axes, name.replace("_", " ").capitalize(), "" if name == "loss" else f"epoch {kept_epoch} kept")
    if names[:1] == ["loss"] and min(row["validation/loss"] for row in history) > 0:
        panels[0].set_yscale("log")
    rates.plot(epochs, [row["learning_rate"] for row in history], color=DARK, linewidth=2)
    set_titles(rates, "Learning rate", "at the end of the epoch")
    for axes in (*panels, rates):
        axes.axvline(kept_epoch, color=ORANGE, linestyle=":", linewidth=1.5)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        style_axes(axes)
    save(figure, path)


def set_titles(axes: Axes, title: str, detail: str) -> None:
    """Set a title on the left and a detail on the right."""
    axes.set_title(title, loc="left", color=DARK, fontweight="bold")
    axes.set_title(detail, loc="right", color=GREY, fontsize=9)


def style_axes(axes: Axes) -> None:
    """Remove the box and add a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e8ecf0", linewidth=0.8)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG file; equal figures give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_figure(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
