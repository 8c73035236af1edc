"""An image file -> the tensor that the network takes. Training, evaluation and serving all decode here."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.contracts.errors import SampleError

MAX_PIXELS = 25_000_000
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
_ORIENTATION = 0x0112


class ImageProcessor(BaseModel):
    """How images become tensors, with the statistics fitted on the train split.

    Args:
        height, width, channels: the tensor's shape; 1 channel is grey, 3 are red, green, blue.
        mean, std: of each channel over the train split, in units of 0..1. The network itself normalises with them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image"] = "image"
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3]
    mean: list[float]
    std: list[float]

    @model_validator(mode="after")
    def _one_statistic_a_channel(self) -> Self:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise ValueError("mean and std need one value for each channel")
        if min(self.std) <= 0:
            raise ValueError("std must be positive")
        return self

    def decode(self, content: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """The tensor of one image file, uint8 (H, W, C).

        Raises:
            SampleError: no image, damaged, or of more than `max_pixels` pixels (seen before it is decoded).
        """
        return decode(content, self.height, self.width, self.channels, max_pixels=max_pixels)

    def batch(self, contents: Sequence[bytes], *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
        """The tensors of several image files, uint8 (N, H, W, C); N may be 0.

        Raises:
            SampleError: as `decode`; `where` names the position of the first file that fails.
        """
        tensors = np.empty((len(contents), self.height, self.width, self.channels), np.uint8)
        for position, content in enumerate(contents):
            try:
                tensors[position] = self.decode(content, max_pixels=max_pixels)
            except SampleError as error:
                raise SampleError(
                    error.what,
                    where=f"image {position}",
                    got=error.got,
                    expected=error.expected,
                    next_step=error.next_step,
                ) from error
        return tensors


def decode(
    content: bytes, height: int, width: int, channels: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """One image file as uint8 (H, W, C): turned as its EXIF says, transparency over black, resized bilinearly.

    Raises:
        SampleError: no image, damaged, or of more than `max_pixels` pixels.
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


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        return image
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits a pixel: the upper eight count
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    elif "A" in image.mode or "transparency" in image.info:
        above = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", above.size, (0, 0, 0, 255)), above)
    return image if image.mode == mode else image.convert(mode)
