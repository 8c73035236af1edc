"""Levels of more than eight bits a pixel: 16 and 32 bit and float images to 0..255 by a stated range.

Legend: H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import SampleError

SETTING = "input.levels of dataset.yaml"


def is_deep(image: Image.Image) -> bool:
    """Whether the levels have more than eight bits: Pillow's modes I, I;16 and F, all of one channel."""
    return image.mode == "F" or image.mode.startswith("I")


def has_default_range(image: Image.Image) -> bool:
    """Whether a deep image needs no stated range: its levels are 16 bits without a sign."""
    return image.mode.startswith("I;16")


def values(image: Image.Image) -> NDArray[np.generic]:
    """The levels of a deep image (H, W), as they are in the file.

    Raises:
        SampleError: NaN or infinity.
    """
    found = np.asarray(image)
    if found.dtype.kind == "f" and not (finite := np.isfinite(found)).all():
        got = f"{found.size - int(finite.sum()):,} of {found.size:,} pixels are NaN or infinite"
        raise SampleError("levels of the image are not finite", got=got, expected="numbers")
    return found


def eight_bits(image: Image.Image, levels: tuple[float, float] | None) -> Image.Image:
    """A deep image in mode L.

    With `levels` (low, high): 255 * (level - low) / (high - low), rounded, what is beyond is clipped. Without them: the
    upper eight bits of 16 bits.

    Raises:
        SampleError: levels of float or 32 bits without a range; NaN or infinity.
    """
    found = values(image)
    if levels is not None:
        low, high = levels
        numbers: NDArray[np.floating] = found.astype(np.float64 if image.mode == "I" else np.float32)
        scaled = (numbers - low) * (255 / (high - low))
        return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8))
    if has_default_range(image):
        return Image.fromarray((found.astype(np.uint16) >> 8).astype(np.uint8))
    raise SampleError(
        f"levels of {'float' if image.mode == 'F' else '32 bits or with a sign'} need a range",
        got=f"levels of {found.min():g} to {found.max():g}",
        expected=f"{SETTING}: [low, high]",
    )


def extrema(image: Image.Image) -> tuple[float, float]:
    """Lowest and highest level of a deep image, as they are in the file.

    Raises:
        SampleError: NaN or infinity.
    """
    found = values(image)
    return float(found.min()), float(found.max())


def outer_range(low: float, high: float) -> list[float] | None:
    """A range around the seen levels, rounded outwards; None if all levels are equal.

    Levels from about zero on start at zero. Whole levels end at a power of two less one, others at a twentieth of the
    power of ten above their span.
    """
    if not low < high:
        return None
    step = 10.0 ** math.ceil(math.log10(high - low)) / 20
    near_zero = 0 <= low <= high - low
    if low == int(low) and high == int(high) and (near_zero or low < 0 < high):
        return [float(-(1 << math.ceil(math.log2(-low)))) if low < 0 else 0.0, float((1 << int(high).bit_length()) - 1)]
    return [0.0 if near_zero else _rounded(low, step, math.floor), _rounded(high, step, math.ceil)]


def _rounded(value: float, step: float, towards: Callable[[float], int]) -> float:
    return float(f"{towards(round(value / step, 6)) * step:.6g}")
