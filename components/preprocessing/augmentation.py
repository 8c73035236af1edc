"""Random augmentation of training images, batch by batch; the draws depend on the seed and the step alone.

Serving does not import this module. Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import AugmentSpec

LARGEST_ERASED_SHARE = 1 / 3  # of height and of width


def augment(images: Tensor, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Augment each image of a batch by its own draw.

    Args:
        images: uint8 (N, H, W, C), on any device; not modified.
        generator: a CPU generator; the same state gives the same augmentation on every device.

    Returns:
        (N, H, W, C), uint8; or float32 in 0..255 if the images are rotated (bilinear).
    """
    if spec.flip_vertical:
        images = flipped(images, draw_flip(len(images), spec, generator))
    if spec.rotate_degrees > 0:
        images = _warp(images, spec, generator)
    elif spec.flip or spec.shift_pixels > 0:
        images = moved(images, *draw_move(len(images), spec, generator))
    if spec.erase > 0:
        images = _erase(images, spec, generator)
    return images


def draw_move(count: int, spec: AugmentSpec, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw whole pixels down and right (N, 2), and whether to mirror (N,)."""
    limit = spec.shift_pixels
    shift = torch.randint(-limit, limit + 1, (count, 2), generator=generator)
    mirror = torch.rand(count, generator=generator) < (0.5 if spec.flip else 0.0)
    return shift, mirror


def draw_flip(count: int, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Draw whether to mirror top and bottom (N,)."""
    return torch.rand(count, generator=generator) < 0.5 if spec.flip_vertical else torch.zeros(count, dtype=torch.bool)


def flipped(images: Tensor, upside_down: Tensor) -> Tensor:
    """The images (N, H, W, C), mirrored top and bottom where `upside_down` (N,) is true."""
    return torch.where(upside_down.to(images.device)[:, None, None, None], images.flip(1), images)


def moved(images: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Mirror (N,), then shift (N, 2) down and right, in one gather; (N, H, W, C) to (N, H, W, C) of the same type."""
    count, height, width, _ = images.shape
    reach = int(shift.abs().max()) if count else 0
    shift, mirror = shift.to(images.device), mirror.to(images.device)
    padded = functional.pad(images, (0, 0, reach, reach, reach, reach))  # (N, H + 2r, W + 2r, C)
    rows = torch.arange(height, device=images.device) + reach - shift[:, :1]  # (N, H)
    columns = torch.arange(width, device=images.device) - shift[:, 1:]  # (N, W)
    columns = torch.where(mirror[:, None], width - 1 - columns, columns) + reach  # (N, W)
    samples = torch.arange(count, device=images.device)
    return padded[samples[:, None, None], rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)


def _warp(images: Tensor, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Mirror, rotate and shift in one bilinear sampling; (N, H, W, C) to float32 (N, H, W, C)."""
    count, height, width, _ = images.shape
    shift, mirror = draw_move(count, spec, generator)
    angle = (torch.rand(count, generator=generator) * 2 - 1) * math.radians(spec.rotate_degrees)  # (N,)
    cosine, sine = angle.cos(), angle.sin()
    sign = torch.where(mirror, -1.0, 1.0)
    # Maps output positions in -1..1 to input positions; the aspect keeps rotations rigid on images that are not square.
    aspect = height / width
    down, right = shift[:, 0] * (2 / height), shift[:, 1] * (2 / width)
    rows = [
        torch.stack([sign * cosine, -sign * sine * aspect, -sign * (cosine * right - sine * aspect * down)], dim=1),
        torch.stack([sine / aspect, cosine, -(sine / aspect * right + cosine * down)], dim=1),
    ]
    matrix = torch.stack(rows, dim=1).to(images.device)  # (N, 2, 3)
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)  # (N, C, H, W)
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)  # (N, H, W, 2)
    return functional.grid_sample(pixels, grid, align_corners=False).permute(0, 2, 3, 1)  # (N, H, W, C)


def _erase(images: Tensor, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al. 2017, arXiv:1708.04896): blank a rectangle in some images; shape (N, H, W, C)."""
    count, height, width, _ = images.shape
    draws = torch.rand(count, 5, generator=generator)
    chosen = draws[:, 0] < spec.erase
    inside = [
        _span(draws[:, 1], draws[:, 2], height),  # (N, H)
        _span(draws[:, 3], draws[:, 4], width),  # (N, W)
    ]
    blank = chosen[:, None, None] & inside[0][:, :, None] & inside[1][:, None, :]  # (N, H, W)
    return images.masked_fill(blank[..., None].to(images.device), 0)


def _span(size: Tensor, place: Tensor, length: int) -> Tensor:
    """Draws (N,) in 0..1 to a mask, bool (N, length), of a span of 1 to a third of `length` pixels."""
    largest = max(1, int(length * LARGEST_ERASED_SHARE))
    extent = 1 + (size * largest).long().clamp(max=largest - 1)
    begin = (place * (length - extent + 1)).long()  # (N,)
    pixel = torch.arange(length)
    return (pixel >= begin[:, None]) & (pixel < (begin + extent)[:, None])
