"""Plot of the labels of a multi-label classification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from components.evaluation.plots import BLUE, ORANGE, save, set_titles, style_axes

MOST = 40  # labels in the picture


def draw_labels(rows: Sequence[tuple[str, float, float, int]], path: Path) -> None:
    """Plot F1 and average precision of each label: (name, F1, average precision, number of samples); rarest last."""
    shown = sorted(rows, key=lambda row: -row[3])[:MOST]
    figure = Figure(figsize=(7.6, 1.6 + 0.5 * max(1, len(shown))), layout="constrained")
    axes = figure.add_subplot()
    positions = np.arange(len(shown))
    for shift, column, colour, label in ((-0.19, 1, BLUE, "F1"), (0.19, 2, ORANGE, "average precision")):
        axes.barh(positions + shift, [row[column] for row in shown], 0.36, color=colour, label=label)
    axes.set_yticks(positions, [f"{row[0]} ({row[3]:,})" for row in shown])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.legend(frameon=False, loc="lower right")
    set_titles(axes, "Labels", "" if len(shown) == len(rows) else f"the {len(shown)} commonest of {len(rows)}")
    style_axes(axes)
    axes.grid(axis="y", visible=False)
    save(figure, path)
