"""Brightness, contrast, saturation, sharpness and hue of images.

The first four are those of PIL's `ImageEnhance`: images are blended with a version without what is changed. The hue is
that of the HSV hexcone model (Smith 1978, doi:10.1145/965139.807361). Images are float32 (N, H, W, C) in 0..255, C is 1
or 3; factors are (N,). Legend: N batch, H height, W width, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.augment_spec import ColorJitterSpec
from components.core.errors import UsageError

COLOURED = ("saturation", "hue")  # settings that need three channels
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2, as in PIL's mode L
SMOOTH = ((1.0, 1.0, 1.0), (1.0, 5.0, 1.0), (1.0, 1.0, 1.0))  # PIL's ImageFilter.SMOOTH, of sum 13


def jittered(images: Tensor, spec: ColorJitterSpec, generator: torch.Generator) -> Tensor:
    """Change each image by its own factors, in an order that is drawn for the batch.

    Args:
        images: uint8 or float (N, H, W, C) in 0..255.
    """
    count = len(images)
    draws = torch.rand(count, 4, generator=generator) * 2 - 1  # (N, 4), -1..1
    order = torch.randperm(4, generator=generator).tolist()
    pixels = images.to(torch.float32)
    for number in order:
        if number == 0 and spec.brightness:
            pixels = brightness(pixels, 1 + spec.brightness * draws[:, 0])
        elif number == 1 and spec.contrast:
            pixels = contrast(pixels, 1 + spec.contrast * draws[:, 1])
        elif number == 2 and spec.saturation:
            pixels = saturation(pixels, 1 + spec.saturation * draws[:, 2])
        elif number == 3 and spec.hue:
            pixels = hue(pixels, spec.hue * draws[:, 3])
    return pixels


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black; `ImageEnhance.Brightness`."""
    return _blend(torch.zeros_like(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey level of each image; `ImageEnhance.Contrast`."""
    mean = _whole(gray(images).mean(dim=(1, 2, 3), keepdim=True))  # (N, 1, 1, 1)
    return _blend(mean, images, factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image; `ImageEnhance.Color`."""
    return _blend(gray(images), images, factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with the smoothed image, whose border is that of the image; `ImageEnhance.Sharpness`."""
    channels = images.shape[3]
    if min(images.shape[1:3]) < 3:
        return images
    kernel = images.new_tensor(SMOOTH).div(13).expand(channels, 1, 3, 3)
    pixels = images.permute(0, 3, 1, 2)  # (N, C, H, W)
    inner = functional.conv2d(pixels, kernel, groups=channels)  # (N, C, H - 2, W - 2)
    smooth = images.clone()
    smooth[:, 1:-1, 1:-1] = _whole(inner.permute(0, 2, 3, 1))
    return _blend(smooth, images, factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by shares of the colour circle (N,); images have three channels."""
    red, green, blue = images.unbind(dim=3)  # (N, H, W) each
    value = images.amax(dim=3)
    chroma = value - images.amin(dim=3)
    divisor = torch.where(chroma > 0, chroma, 1)
    sector = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )  # (N, H, W), -1..5
    turned = sector + 6 * turn.to(images)[:, None, None]
    parts = []
    for offset in (5, 3, 1):  # red, green, blue
        position = (offset + turned) % 6
        parts.append(value - chroma * torch.minimum(position, 4 - position).clamp(0, 1))
    return torch.stack(parts, dim=3)


def gray(images: Tensor) -> Tensor:
    """The luma of each pixel in whole levels, (N, H, W, 1); grey images are their own."""
    if images.shape[3] != 3:
        return images
    return _whole((images * images.new_tensor(LUMA)).sum(dim=3, keepdim=True))


def _whole(levels: Tensor) -> Tensor:
    """The nearest whole levels, halves rounded up."""
    return (levels + 0.5).floor()


def _blend(plain: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    """plain + factor (images - plain), within 0..255."""
    return (plain + factor.to(images)[:, None, None, None] * (images - plain)).clamp(0, 255)


def check_channels(spec: ColorJitterSpec, channels: int) -> None:
    """Raise UsageError if grey images are to have another saturation or hue."""
    if channels != 3 and (unusable := [name for name in COLOURED if getattr(spec, name)]):
        raise UsageError(
            "grey images have neither saturation nor hue",
            where=f"train.augment.color_jitter.{unusable[0]}",
            got=f"{channels} channel",
            expected="brightness, contrast",
            next_step="leave it out of the pipeline",
        )
