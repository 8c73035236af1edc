"""RandAugment (Cubuk et al. 2019, arXiv:1909.13719): random operations of a fixed list, all of one strength.

The operations are PIL's, with the strengths of torchvision's `RandAugment` (31 magnitudes). Every operation runs once
on all images that drew it. Legend: N batch, H height, W width, C channels; (n,) the images of one operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from components.contracts.augment_spec import RandAugmentSpec
from components.training.augmentation import color, geometry

LARGEST = 30  # magnitude
SHEAR, TRANSLATE, DEGREES, ENHANCE = 0.3, 150 / 331, 30.0, 0.9  # at the largest magnitude

Operation = Callable[[Tensor, float, Tensor], Tensor]  # images float32 (n, H, W, C), strength 0..1, signs (n,)


def rand_augmented(images: Tensor, spec: RandAugmentSpec, generator: torch.Generator) -> Tensor:
    """Apply `operations` random operations to each image.

    Args:
        images: uint8 or float (N, H, W, C) in 0..255; rounded to whole levels.

    Returns:
        float32 (N, H, W, C), whole levels of 0..255.
    """
    count = len(images)
    strength = spec.magnitude / LARGEST
    pixels = images.to(torch.float32).round()
    for _ in range(spec.operations):
        chosen = torch.randint(len(OPERATIONS), (count,), generator=generator)  # (N,)
        signs = torch.randint(2, (count,), generator=generator) * 2.0 - 1  # (N,)
        pixels = pixels.clone()
        for number, operation in enumerate(OPERATIONS):
            rows = torch.nonzero(chosen == number)[:, 0]  # (n,)
            if len(rows):
                here = rows.to(pixels.device)
                pixels[here] = operation(pixels[here], strength, signs[rows]).round()
    return pixels


def identity(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """The images themselves."""
    return images


def shear_x(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Shift each row by its distance from the top, times up to 0.3."""
    return _affine(images, 0, 1, SHEAR * strength * signs)


def shear_y(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Shift each column by its distance from the left, times up to 0.3."""
    return _affine(images, 1, 0, SHEAR * strength * signs)


def translate_x(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Shift by whole pixels, up to 45 % of the width."""
    return _affine(images, 0, 2, round(TRANSLATE * images.shape[2] * strength) * signs)


def translate_y(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Shift by whole pixels, up to 45 % of the height."""
    return _affine(images, 1, 2, round(TRANSLATE * images.shape[1] * strength) * signs)


def rotate(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Rotate around the middle by up to 30 degrees, counter-clockwise for a positive sign; `Image.rotate`."""
    _, height, width, _ = images.shape
    angle = -math.radians(DEGREES) * strength * signs  # (n,)
    cosine, sine = angle.cos(), angle.sin()
    x, y = width / 2, height / 2
    rows = [
        torch.stack([cosine, sine, x - cosine * x - sine * y], dim=1),
        torch.stack([-sine, cosine, y + sine * x - cosine * y], dim=1),
    ]
    return geometry.warped(images, geometry.of_pixels(torch.stack(rows, dim=1), height, width))


def brightness(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Brightness times 1 -+ 0.9; `ImageEnhance.Brightness`."""
    return color.brightness(images, 1 + ENHANCE * strength * signs)


def saturation(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Saturation times 1 -+ 0.9; `ImageEnhance.Color`."""
    return color.saturation(images, 1 + ENHANCE * strength * signs)


def contrast(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Contrast times 1 -+ 0.9; `ImageEnhance.Contrast`."""
    return color.contrast(images, 1 + ENHANCE * strength * signs)


def sharpness(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Sharpness times 1 -+ 0.9; `ImageEnhance.Sharpness`."""
    return color.sharpness(images, 1 + ENHANCE * strength * signs)


def posterize(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Keep the 8 to 4 highest bits; `ImageOps.posterize`."""
    step = 2.0 ** round(4 * strength)
    return (images / step).floor() * step


def solarize(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Invert the levels from a threshold on, which is 255 to 0; `ImageOps.solarize`."""
    return torch.where(images >= 255 * (1 - strength), 255 - images, images)


def autocontrast(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Stretch the levels of each channel to 0..255; `ImageOps.autocontrast`."""
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)  # (n, 1, 1, C)
    span = torch.where(high > low, high - low, 1)
    return torch.where(high > low, ((images - low) * 255 / span).floor(), images)


def equalize(images: Tensor, strength: float, signs: Tensor) -> Tensor:
    """Make the histogram of each channel flat; `ImageOps.equalize`."""
    count, height, width, channels = images.shape
    levels = images.permute(0, 3, 1, 2).reshape(count * channels, height * width).long()  # (n C, H W)
    row = 256 * torch.arange(len(levels), device=images.device)[:, None]
    histogram = torch.bincount((levels + row).flatten(), minlength=256 * len(levels)).reshape(-1, 256)  # (n C, 256)
    of_brightest = histogram.gather(1, levels.amax(dim=1, keepdim=True))  # (n C, 1)
    step = (height * width - of_brightest) // 255  # (n C, 1)
    below = histogram.cumsum(dim=1) - histogram  # (n C, 256): pixels below each level
    table = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)  # (n C, 256)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    flat = table.gather(1, levels).to(images)  # (n C, H W)
    return flat.reshape(count, channels, height, width).permute(0, 2, 3, 1)


def _affine(images: Tensor, row: int, column: int, values: Tensor) -> Tensor:
    """Images under the identity with `values` (n,) added at one place of the matrix (2, 3) of pixel positions."""
    matrix = torch.eye(2, 3).repeat(len(images), 1, 1)  # (n, 2, 3)
    matrix[:, row, column] += values
    return geometry.warped(images, geometry.of_pixels(matrix, images.shape[1], images.shape[2]))


OPERATIONS: tuple[Operation, ...] = (
    identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, saturation, contrast, sharpness,
    posterize, solarize, autocontrast, equalize,
)  # fmt: skip
