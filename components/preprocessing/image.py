"""From image files to arrays of pixels. Training, evaluation and serving share this code.

Legend: N samples, H height, W width, C channels.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from components.core.errors import SampleError

MAX_PIXELS = 25_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_ORIENTATION = 0x0112
_PIECE = 1 << 20


def decode(
    content: bytes, height: int, width: int, channels: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode an image file to uint8 (H, W, C): EXIF rotation applied, transparency over black, resized bilinearly.

    Raises:
        SampleError: the content is no image, is damaged, or has more than `max_pixels` pixels.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as opened:
            if opened.width * opened.height > max_pixels:
                raise SampleError(
                    "the image has too many pixels",
                    got=f"{opened.width}x{opened.height}",
                    expected=f"at most {max_pixels} pixels",
                )
            image: Image.Image = opened
            if opened.format != "PNG" and opened.getexif().get(_ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(opened)
            image = _in_mode(image, "L" if channels == 1 else "RGB")
            if image.size != (width, height):
                image = image.resize((width, height), Image.Resampling.BILINEAR)
            return np.array(image, np.uint8).reshape(height, width, channels)
    except UnidentifiedImageError as error:
        expected = "an image file: " + ", ".join(_FORMATS)
        raise SampleError("not an image", got=f"{len(content)} bytes", expected=expected) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise SampleError("the image is damaged", got=error) from error


def from_base64(text: Any) -> bytes:
    """The file in a base64 text, or in a `data:` URL.

    Raises:
        SampleError: the value is no text, or no base64.
    """
    if not isinstance(text, str):
        raise SampleError("an image must be base64 text", code="type", got=type(text).__name__)
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SampleError("no base64", code="base64", got=error, expected="an image file as base64 text") from error


def pixels(value: Any) -> NDArray[np.uint8]:
    """Nested lists of pixels to uint8 (N, H, W, C); (N, H, W) is read as one channel.

    Raises:
        SampleError: the lists are ragged or empty, hold anything but whole numbers of 0 to 255, or do not have 3 or 4
            dimensions.
    """
    try:
        numbers = np.asarray(value)
    except ValueError as error:
        raise SampleError("pixels must be nested lists of equal lengths", code="shape") from error
    if numbers.size == 0:
        raise SampleError("no image in pixels", code="empty", expected="at least one")
    if numbers.dtype.kind not in "iu":
        raise SampleError("pixels must be whole numbers", code="type", got=str(numbers.dtype), expected="0 to 255")
    if numbers.min() < 0 or numbers.max() > 255:
        got = f"{numbers.min()} to {numbers.max()}"
        raise SampleError("a pixel is out of range", code="range", got=got, expected="0 to 255")
    if numbers.ndim not in (3, 4):
        raise SampleError("pixels of the wrong shape", code="shape", got=list(numbers.shape), expected="(N, H, W, C)")
    found = numbers.astype(np.uint8)
    return found[..., np.newaxis] if found.ndim == 3 else found


def checked(array: NDArray[np.uint8], height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """The array itself, after a check of its shape (H, W, C) and its type uint8.

    Raises:
        SampleError: shape or type differ.
    """
    if array.shape != (height, width, channels) or array.dtype != np.uint8:
        got, expected = f"{array.shape} of {array.dtype}", f"({height}, {width}, {channels}) of uint8"
        raise SampleError("pixels of the wrong shape", code="shape", got=got, expected=expected)
    return array


def describe(content: bytes) -> dict[str, object]:
    """Facts about an image file. Never raises for a bad file; `error` says what is wrong.

    Returns:
        readable, error, width, height, channels, and mean and standard deviation of all levels, 0 to 255.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                return _facts(f"too many pixels: {image.width}x{image.height}", image.width, image.height)
            levels = np.asarray(image.convert("RGB") if image.mode == "P" else image)  # (H, W) or (H, W, C)
    except UnidentifiedImageError:
        return _facts("not an image")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        return _facts(f"damaged: {error}")
    channels = 1 if levels.ndim == 2 else levels.shape[2]
    return _facts(None, levels.shape[1], levels.shape[0], channels, *_moments(levels))


def _facts(
    error: str | None, width: int = 0, height: int = 0, channels: int = 0, mean: float = 0.0, deviation: float = 0.0
) -> dict[str, object]:
    return {
        "readable": error is None,
        "error": error,
        "width": width,
        "height": height,
        "channels": channels,
        "mean": mean,
        "standard_deviation": deviation,
    }


def _moments(levels: NDArray[np.generic]) -> tuple[float, float]:
    """Mean and standard deviation of all levels; exact, since sums of whole numbers do not depend on their order."""
    flat = levels.ravel()
    first = second = 0.0
    for start in range(0, flat.size, _PIECE):
        piece = flat[start : start + _PIECE].astype(np.float64)
        first += float(piece.sum())
        second += float(piece.dot(piece))
    mean = first / flat.size
    return mean, math.sqrt(max(second / flat.size - mean * mean, 0.0))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits a pixel: the upper eight are used
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif "A" in image.mode or "transparency" in image.info:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above)
    return image if image.mode == mode else image.convert(mode)
