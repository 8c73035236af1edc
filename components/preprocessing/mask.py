"""Masks of class numbers: decoded, fitted into the size of the network's images, and back into the size of a picture.

Masks are resampled by the nearest neighbour, with the geometry of their images; padding is ignored.
Legend: H height, W width, h, w of a picture, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import resizing
from components.preprocessing.resizing import Resize

BACKGROUND = "background"  # the class that is black
IGNORED = 255  # a pixel that is neither learnt nor scored
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError)

Numbers = NDArray[np.uint8]


def decode(content: bytes) -> Numbers:
    """The class numbers (h, w) of a grey PNG file.

    Raises:
        SampleError: the content is no such file.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            numbers = np.array(image)
    except _DAMAGED as error:
        raise SampleError("the mask is damaged", got=str(error)[:100]) from error
    if numbers.ndim != 2 or numbers.dtype != np.uint8:
        raise SampleError("a mask that is no grey image of 8 bits", got=f"{numbers.dtype} {numbers.shape}")
    return numbers


def fitted(numbers: Numbers, size: tuple[int, int], target: tuple[int, int], how: Resize) -> Numbers:
    """A mask (h, w) in the frame of its image: (H, W).

    Args:
        size: width and height of the image.
        target: W and H.

    Raises:
        SampleError: the mask has another size than the image.
    """
    if numbers.shape != (size[1], size[0]):
        got = f"{numbers.shape[1]}x{numbers.shape[0]}"
        raise SampleError("the mask is not of the size of its image", got=got, expected=f"{size[0]}x{size[1]}")
    place = resizing.frame(*size, target, how)
    resized = resizing.resized(Image.fromarray(numbers), place, target, Image.Resampling.NEAREST, IGNORED)
    return np.array(resized, np.uint8)


def back(numbers: Numbers, size: tuple[int, int], how: Resize) -> Numbers:
    """A mask (H, W) of the network in the size of a picture: (h, w); the inverse of `fitted`.

    Args:
        size: width and height of the picture.
    """
    height, width = numbers.shape
    place = resizing.frame(*size, (width, height), how)
    left, top = round(place.left * width), round(place.top * height)
    inner = left, top, left + round(place.width * width), top + round(place.height * height)
    picture = Image.fromarray(numbers).crop(inner)
    return np.array(picture if picture.size == size else picture.resize(size, Image.Resampling.NEAREST), np.uint8)


def palette(count: int) -> NDArray[np.uint8]:
    """Colours (count, 3) that are far from each other, black first: the colour map of Pascal VOC, in which the bits of
    a number are dealt out to red, green and blue (Everingham et al., VOC2012 development kit, `VOClabelcolormap`)."""
    colours = np.zeros((count, 3), np.uint8)
    for number in range(count):
        for bit in range(8):
            group = number >> (3 * bit) & 7
            for channel in range(3):
                colours[number, channel] |= (group >> channel & 1) << (7 - bit)
    return colours


def colours(classes: Sequence[str]) -> NDArray[np.uint8]:
    """The colours (K, 3) of classes by their numbers: `palette`, with black for `background` if there is one."""
    found = palette(len(classes))
    if BACKGROUND in classes:
        place = list(classes).index(BACKGROUND)
        found[: place + 1] = np.roll(found[: place + 1], -1, axis=0)
    return found
