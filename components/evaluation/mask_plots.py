"""Plot of segmentation: picture, truth and answer of single images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from components.evaluation.plots import DARK, save
from components.preprocessing.mask import colours as colours_of

if TYPE_CHECKING:
    from components.evaluation.segmentation import MaskExample

MOST_NAMED = 20  # classes in the legend
_IGNORED, _OTHER = (255, 255, 255), (128, 128, 128)  # an ignored pixel; an answer of no class of the data


def draw_masks(examples: Sequence[MaskExample], classes: Sequence[str], path: Path) -> None:
    """Plot picture, truth and answer of each image, one row each, the worst first; ignored pixels are white."""
    figure = Figure(figsize=(7.4, 0.8 + 1.9 * max(1, len(examples))), layout="constrained")
    panels = figure.subplots(max(1, len(examples)), 3, squeeze=False)
    colours = np.full((256, 3), _IGNORED, np.uint8)
    colours[: len(classes)] = colours_of(classes)
    colours[len(classes)] = _OTHER
    for axes in panels.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for row, example in zip(panels, examples, strict=False):
        row[0].set_ylabel(f"IoU {example.iou:.3f}", color=DARK)
        pictures = (_picture(example.image), colours[example.truth], colours[example.answer])
        for axes, pixels in zip(row, pictures, strict=True):
            axes.imshow(pixels, interpolation="nearest")
    for axes, title in zip(panels[0], ("picture", "truth", "answer"), strict=True):
        axes.set_title(title, loc="left", color=DARK, fontweight="bold")
    named = list(zip(classes, colours, strict=False))[:MOST_NAMED]
    patches = [Patch(color=tuple(colour / 255), label=name) for name, colour in named]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(5, len(patches)), frameon=False)
    save(figure, path)


def _picture(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) of an image (H, W, C)."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
