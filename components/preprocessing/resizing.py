"""Fit an image into another height and width: stretched, cropped or padded; and boxes along with it.

Legend: M boxes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Resize = Literal["stretch", "crop", "pad"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
FILTERS: dict[Resample, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Frame(NamedTuple):
    """The place of the whole image in its resized form, in parts of the width and height of the resized form."""

    left: float
    top: float
    width: float
    height: float

    def into(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boxes (M, 4) in parts of the image to parts of its resized form; centre x, centre y, width, height."""
        scale = np.array([self.width, self.height, self.width, self.height])
        found: NDArray[np.float32] = (boxes * scale + [self.left, self.top, 0, 0]).astype(np.float32)
        return found

    def out_of(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The inverse of `into`."""
        scale = np.array([self.width, self.height, self.width, self.height])
        found: NDArray[np.float32] = ((boxes - [self.left, self.top, 0, 0]) / scale).astype(np.float32)
        return found


WHOLE = Frame(0, 0, 1, 1)


def frame(width: int, height: int, target: tuple[int, int], how: Resize) -> Frame:
    """The frame of an image of width and height in a resized form of `target` (width, height)."""
    if how == "stretch":
        return WHOLE
    scale = (max if how == "crop" else min)(target[0] / width, target[1] / height)
    if how == "crop":
        inner = width * scale, height * scale
        left, top = (target[0] - inner[0]) / 2, (target[1] - inner[1]) / 2
    else:  # whole pixels, so that boxes and pixels agree
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2
    return Frame(left / target[0], top / target[1], inner[0] / target[0], inner[1] / target[1])


def resized(
    image: Image.Image, place: Frame, target: tuple[int, int], how: Image.Resampling = Image.Resampling.BILINEAR,
    padding: int = 0,
) -> Image.Image:  # fmt: skip
    """The image in its frame, of `target` (width, height), resampled bilinearly; padding is black.

    Args:
        how: how it is resampled.
        padding: level of the padding.
    """
    if place == WHOLE:
        return image if image.size == target else image.resize(target, how)
    if place.left >= 0 and place.top >= 0 and place.width <= 1 and place.height <= 1:
        inner = round(place.width * target[0]), round(place.height * target[1])
        part = image if image.size == inner else image.resize(inner, how)
        padded = Image.new(image.mode, target, padding)
        padded.paste(part, (round(place.left * target[0]), round(place.top * target[1])))
        return padded
    left, top = -place.left / place.width * image.width, -place.top / place.height * image.height
    right, bottom = image.width - left, image.height - top
    return image.resize(target, how, box=(max(0.0, left), max(0.0, top), right, bottom))


def center_cropped(
    image: Image.Image, shortest_edge: int, target: tuple[int, int], how: Image.Resampling = Image.Resampling.BILINEAR
) -> Image.Image:
    """The image with a shorter side of `shortest_edge` pixels, of which the middle of `target` (width, height) is kept.

    Two steps with whole pixels between them, as transformers' image processors evaluate ImageNet weights: the longer
    side and the borders of the crop are rounded down. (torchvision rounds a border of half a pixel to the even one.)

    Args:
        shortest_edge: at least the width and height of `target`.
    """
    short, long = sorted(image.size)
    longer = shortest_edge * long // short
    size = (shortest_edge, longer) if image.width <= image.height else (longer, shortest_edge)
    whole = image if image.size == size else image.resize(size, how)
    left, top = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
    return whole.crop((left, top, left + target[0], top + target[1]))
