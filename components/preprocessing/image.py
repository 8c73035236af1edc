"""From image files to arrays of pixels. Training, evaluation and serving share this code.

Legend: N samples, H height, W width, C channels.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import image_file, levels, resizing
from components.preprocessing.image_file import DATASET_LIMIT, MAX_PIXELS
from components.preprocessing.resizing import Resize

DESCRIBED = (
    "readable", "error", "width", "height", "channels", "mean", "standard_deviation", "lowest", "highest", "level_span",
    "constant",
)  # fmt: skip
_DESCRIBED_SIDE = 320  # a very large JPEG image is reduced, not below this, if the arrays' size is not known
_PIECE = 1 << 20


class Decoding(NamedTuple):
    """How image files become arrays, but for their size.

    Args:
        max_pixels: larger images are refused before they are decoded; `setting` names the limit in the message.
        levels: range (low, high) of levels of more than eight bits; None: 0 to 65535 for 16 bits, none for others.
        resize: how an image is fitted into height and width.
        reduce_above: JPEG files of more pixels are decoded at a part of their size: in a service those that were in
            training.
        shortest_edge: of a crop: the shorter side before it; None: the largest part is kept.
        resample: filter of the resize.
    """

    max_pixels: int = MAX_PIXELS
    setting: str = DATASET_LIMIT
    levels: tuple[float, float] | None = None
    resize: Resize = "stretch"
    reduce_above: int = MAX_PIXELS
    shortest_edge: int | None = None
    resample: resizing.Resample = "bilinear"


class DecodedImage(NamedTuple):
    """Pixels uint8 (H, W, C), and width and height of the file's image."""

    pixels: NDArray[np.uint8]
    width: int
    height: int


def decode(
    content: bytes, height: int, width: int, channels: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """`read` with the usual decoding: uint8 (H, W, C)."""
    return read(content, height, width, channels, Decoding(max_pixels=max_pixels)).pixels


def read(content: bytes, height: int, width: int, channels: int, how: Decoding) -> DecodedImage:
    """Decode an image file to uint8 (H, W, C): EXIF rotation applied, transparency over black, resized.

    Raises:
        SampleError: the content is no image, is damaged, has too many pixels, or levels without a range.
    """
    target = (width, height)
    edge = how.shortest_edge
    found = _picture(content, target if edge is None else (max(edge, width), max(edge, height)), how)
    image = _in_mode(found.image, "L" if channels == 1 else "RGB", how.levels)
    if edge is not None:
        image = resizing.center_cropped(image, edge, target, resizing.FILTERS[how.resample])
    else:
        place = resizing.frame(found.width, found.height, target, how.resize)
        image = resizing.resized(image, place, target, resizing.FILTERS[how.resample])
    return DecodedImage(np.array(image, np.uint8).reshape(height, width, channels), found.width, found.height)


def thumbnail(content: bytes, side: int) -> bytes | None:
    """A small PNG file of an image file, its levels spread over their own range; None if the file is no image."""
    try:
        image = image_file.read(content, target=(side, side)).image
        own_range = levels.outer_range(*levels.extrema(image)) if levels.is_deep(image) else None
        small = _in_mode(image, "RGB", (own_range[0], own_range[1]) if own_range else None)
    except SampleError:
        return None
    small.thumbnail((side, side))
    out = io.BytesIO()
    small.save(out, "PNG", optimize=True)
    return out.getvalue()


def as_file(values: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W) or (H, W, C) as an uncompressed PNG file of the same levels."""
    out = io.BytesIO()
    Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values).save(
        out, "PNG", compress_level=0
    )
    return out.getvalue()


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


def describe(content: bytes, how: Decoding | None = None, target: tuple[int, int] | None = None) -> dict[str, object]:
    """Facts about an image file, by the rules of `read`: `DESCRIBED`. Never raises for a bad file.

    `error` says what is wrong; numbers that a bad file does not have are None. Mean and standard deviation are of the
    file's own levels. `lowest` and `highest` are the file's own levels where these have more than eight bits, else
    None. `level_span` is the largest difference of two levels after decoding, of any pixels and channels, 0 to 255;
    `constant`: it is 0, all is black, white or one grey.

    Args:
        how: the decoding of the dataset; None before it is chosen: levels of float are then spread over the image's own
            range.
        target: width and height of the arrays, if they are known.
    """
    try:
        found = _picture(content, target or (_DESCRIBED_SIDE, _DESCRIBED_SIDE), how or Decoding())
    except SampleError as error:
        return _facts(_reason(error), *_stated_size(content, error))
    image = found.image
    try:
        lowest, highest = levels.extrema(image) if levels.is_deep(image) else (None, None)
        if how is None and lowest is not None and not levels.has_default_range(image):
            span = 255 if lowest != highest else 0
        else:
            span = _span(image, how.levels if how else None)
    except SampleError as error:
        return _facts(_reason(error), found.width, found.height, 1)
    own = np.asarray(image.convert("RGB") if image.mode == "P" else image)  # (H, W) or (H, W, C)
    channels = 1 if own.ndim == 2 else own.shape[2]
    return _facts(None, found.width, found.height, channels, *_moments(own), lowest, highest, span)


def _facts(
    error: str | None, width: int | None = None, height: int | None = None, channels: int | None = None,
    mean: float | None = None, deviation: float | None = None, lowest: float | None = None,
    highest: float | None = None, span: int | None = None,
) -> dict[str, object]:  # fmt: skip
    constant = not span  # a file that cannot be read has not passed
    values = (error is None, error, width, height, channels, mean, deviation, lowest, highest, span, constant)
    return dict(zip(DESCRIBED, values, strict=True))


def _reason(error: SampleError) -> str:
    """What is wrong, the kind first: errors of one kind have the same text before the colon."""
    what = error.what.removeprefix("the image is ").removeprefix("the image has ")
    return f"{what}: {error.got}; expected {error.expected}" if error.expected else f"{what}: {error.got}"


def _stated_size(content: bytes, error: SampleError) -> tuple[int, int] | tuple[None, None]:
    """Width and height of an image with too many pixels; None for a file that cannot be read."""
    return image_file.size(content) if error.what == image_file.TOO_LARGE else (None, None)


def _span(image: Image.Image, stated: tuple[float, float] | None) -> int:
    """The largest difference of two levels after decoding."""
    decoded = _in_mode(image, "L" if levels.is_deep(image) or image.mode in ("1", "L", "LA") else "RGB", stated)
    bounds = np.asarray(decoded.getextrema())
    return int(bounds.max() - bounds.min())


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


def _picture(content: bytes, target: tuple[int, int], how: Decoding) -> image_file.Picture:
    found = image_file.read(
        content, max_pixels=how.max_pixels, target=target, setting=how.setting, reduce_above=how.reduce_above
    )
    if found.cut_levels and how.levels is not None:
        raise SampleError(
            "levels of 16 bits in several channels have no range",
            got=f"{levels.SETTING}: {list(how.levels)}",
            expected="no levels:, which takes the upper eight bits; or images of one channel, or of 8 bits",
        )
    return found


def _in_mode(image: Image.Image, mode: str, stated: tuple[float, float] | None) -> Image.Image:
    """The image in mode L or RGB; `stated`: the range of levels of more than eight bits."""
    if image.mode == mode:
        return image
    if levels.is_deep(image):
        image = levels.eight_bits(image, stated)
    elif "A" in image.mode or "transparency" in image.info:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above)
    return _converted(image, mode)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    try:
        return image if image.mode == mode else image.convert(mode)
    except ValueError as error:  # LAB has no way to RGB
        raise SampleError("the colours of the image are not read", got=image.mode, expected=mode) from error
