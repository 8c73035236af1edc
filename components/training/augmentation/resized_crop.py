"""A random rectangle of an image, resized to the size of the image (Szegedy et al. 2014, arXiv:1409.4842).

The draws are those of torchvision's `RandomResizedCrop`. A crop is never larger than its image, so that resizing needs
no antialiasing. Legend: N batch, H height, W width, C channels, M boxes of a sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from components.contracts.augment_spec import ResizedCropSpec

ATTEMPTS = 10  # draws of a rectangle before the largest one in the middle is taken


class Crops(NamedTuple):
    """A rectangle of each image in pixels, int64 (N,) each, on the CPU."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_crops(shape: torch.Size, spec: ResizedCropSpec, generator: torch.Generator) -> Crops:
    """Draw area and ratio of a rectangle (the ratio evenly in its logarithm), then its place."""
    count, height, width, _ = shape
    draws = torch.rand(count, ATTEMPTS, 2, generator=generator)
    places = torch.rand(count, 2, generator=generator)
    area = (spec.scale[0] + (spec.scale[1] - spec.scale[0]) * draws[..., 0]) * (height * width)  # (N, ATTEMPTS)
    low, high = math.log(spec.ratio[0]), math.log(spec.ratio[1])
    ratio = torch.exp(low + (high - low) * draws[..., 1])  # (N, ATTEMPTS)
    wide, tall = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()  # (N, ATTEMPTS)
    fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
    first = fits.int().argmax(dim=1, keepdim=True)  # (N, 1)
    wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]  # (N,)
    any_fits = fits.any(dim=1)
    whole = min(max(width / height, spec.ratio[0]), spec.ratio[1])  # ratio of the largest one
    wide = torch.where(any_fits, wide, min(width, max(1, round(height * whole))))
    tall = torch.where(any_fits, tall, min(height, max(1, round(width / whole))))
    places = torch.where(any_fits[:, None], places, 0.5)
    top = (places[:, 0] * (height - tall + 1)).long()
    left = (places[:, 1] * (width - wide + 1)).long()
    return Crops(top, left, tall, wide)


def cropped(images: Tensor, crops: Crops) -> Tensor:
    """The rectangles, resized by bilinear interpolation; (N, H, W, C) to float32 (N, H, W, C)."""
    _, height, width, _ = images.shape
    pixels = images.to(torch.float32)
    for axis, begin, size, length in (
        (1, crops.top, crops.height, height),
        (2, crops.left, crops.width, width),
    ):
        place = _places(begin, size, length)  # (N, length)
        place = place.clamp(min=begin[:, None], max=(begin + size - 1)[:, None])
        low = place.floor().long()
        high = torch.minimum(low + 1, (begin + size - 1)[:, None])
        share = _along(place - low, axis).to(pixels)
        lower = pixels.take_along_dim(_along(low, axis).to(pixels.device), axis)
        upper = pixels.take_along_dim(_along(high, axis).to(pixels.device), axis)
        pixels = lower + (upper - lower) * share
    return pixels


def cropped_nearest(masks: Tensor, crops: Crops) -> Tensor:
    """The rectangles, resized by the nearest neighbour; (N, H, W, C) to (N, H, W, C) of the same type."""
    _, height, width, _ = masks.shape
    rows = (_places(crops.top, crops.height, height) + 0.5).floor().long()  # (N, H)
    columns = (_places(crops.left, crops.width, width) + 0.5).floor().long()  # (N, W)
    found = masks.take_along_dim(_along(rows, 1).to(masks.device), 1)
    return found.take_along_dim(_along(columns, 2).to(masks.device), 2)


def cropped_boxes(boxes: Tensor, crops: Crops, height: int, width: int) -> Tensor:
    """Boxes (N, M, 4) of (cx, cy, w, h) as shares of an image, as shares of its rectangle; not clipped."""
    left, top = (crops.left / width).to(boxes)[:, None], (crops.top / height).to(boxes)[:, None]  # (N, 1)
    wide, tall = (crops.width / width).to(boxes)[:, None], (crops.height / height).to(boxes)[:, None]
    x, y, w, h = boxes.unbind(dim=2)  # (N, M) each
    return torch.stack([(x - left) / wide, (y - top) / tall, w / wide, h / tall], dim=2)


def _places(begin: Tensor, size: Tensor, length: int) -> Tensor:
    """Where each of `length` output pixels lies in the input, by pixel centres: float64 (N, length)."""
    centres = (torch.arange(length, dtype=torch.float64) + 0.5) / length  # (length,)
    return begin[:, None] + centres * size[:, None] - 0.5


def _along(values: Tensor, axis: int) -> Tensor:
    """(N, L) with two more axes, so that L is the given axis of four."""
    return values[:, :, None, None] if axis == 1 else values[:, None, :, None]
