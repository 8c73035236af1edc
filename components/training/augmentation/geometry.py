"""Mirroring, shifting, rotating and shearing of images.

Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.augment_spec import AugmentSpec


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


def draw_warp(shape: torch.Size, spec: AugmentSpec, generator: torch.Generator) -> Tensor:
    """Draw mirroring, rotation and shift as one affine map, float32 (N, 2, 3), as of `warped`."""
    count, height, width, _ = shape
    shift, mirror = draw_move(count, spec, generator)
    angle = (torch.rand(count, generator=generator) * 2 - 1) * math.radians(spec.rotate_degrees)  # (N,)
    cosine, sine = angle.cos(), angle.sin()
    sign = torch.where(mirror, -1.0, 1.0)
    # The aspect keeps rotations rigid on images that are not square.
    aspect = height / width
    down, right = shift[:, 0] * (2 / height), shift[:, 1] * (2 / width)
    rows = [
        torch.stack([sign * cosine, -sign * sine * aspect, -sign * (cosine * right - sine * aspect * down)], dim=1),
        torch.stack([sine / aspect, cosine, -(sine / aspect * right + cosine * down)], dim=1),
    ]
    return torch.stack(rows, dim=1)


def warped(images: Tensor, matrix: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear") -> Tensor:
    """Images under an affine map; what is from outside of an image is 0.

    Args:
        images: (N, H, W, C).
        matrix: (N, 2, 3), maps output positions (x, y, 1) to input positions, both in -1..1.

    Returns:
        float32 (N, H, W, C).
    """
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)  # (N, C, H, W)
    grid = functional.affine_grid(matrix.to(images.device), list(pixels.shape), align_corners=False)  # (N, H, W, 2)
    return functional.grid_sample(pixels, grid, mode, align_corners=False).permute(0, 2, 3, 1)  # (N, H, W, C)


def of_pixels(matrix: Tensor, height: int, width: int) -> Tensor:
    """The map of `warped` for a matrix (N, 2, 3) of positions in pixels, as PIL's `Image.transform` takes it."""
    (a, b, c), (d, e, f) = (row.unbind(dim=1) for row in matrix.unbind(dim=1))  # (N,) each
    across, along = b * height / width, d * width / height
    rows = [
        torch.stack([a, across, a + across + 2 * c / width - 1], dim=1),
        torch.stack([along, e, along + e + 2 * f / height - 1], dim=1),
    ]
    return torch.stack(rows, dim=1)
