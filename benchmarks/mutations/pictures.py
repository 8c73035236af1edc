"""Pictures that hold their number: a grid of 4 x 4 black and white fields, whose corners say how the picture lies."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing import image

SIDE = 48
FORMS = (
    "png", "jpg", "gif", "webp", "bmp", "tif", "grey", "grey and alpha", "palette", "cmyk jpg", "cmyk tif", "one bit",
    "16-bit tif", "16-bit png", "float tif", "animated gif", "animated webp", "progressive jpg", "turned by EXIF",
)  # fmt: skip
_CORNERS = {(0, 0): 1, (0, 3): 0, (3, 0): 0, (3, 3): 0}
_FIELDS = [(row, column) for row in range(4) for column in range(4) if (row, column) not in _CORNERS]


def draw(number: int, side: int = SIDE) -> Image.Image:
    """The picture of a number below 4096, mode L."""
    grid = np.zeros((4, 4), np.uint8)
    for (row, column), bit in [*_CORNERS.items(), *((field, number >> n & 1) for n, field in enumerate(_FIELDS))]:
        grid[row, column] = 235 * bit + 10
    return Image.fromarray(np.kron(grid, np.ones((side // 4, side // 4), np.uint8)))


def encode(number: int, form: str) -> tuple[bytes, str]:
    """A file of a picture, and its suffix."""
    grey = draw(number)
    match form:
        case "png" | "jpg" | "webp" | "bmp" | "tif" | "gif":
            return save(grey.convert("RGB"), form), f".{form}"
        case "grey":
            return save(grey, "png"), ".png"
        case "grey and alpha":
            return save(Image.merge("LA", (grey, grey.point(lambda _: 255))), "png"), ".png"
        case "palette":
            return save(grey.convert("P"), "png"), ".png"
        case "cmyk jpg" | "cmyk tif":
            return save(grey.convert("RGB").convert("CMYK"), form[-3:]), f".{form[-3:]}"
        case "one bit":
            return save(grey.convert("1", dither=Image.Dither.NONE), "png"), ".png"
        case "16-bit tif" | "16-bit png":
            deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
            return save(deep, form[-3:]), f".{form[-3:]}"
        case "float tif":
            return save(Image.fromarray(np.asarray(grey).astype(np.float32) / 255), "tif"), ".tif"
        case "animated gif" | "animated webp":
            kind = form.removeprefix("animated ")
            more = [draw(number ^ 0xFFF).convert("RGB")]
            return save(grey.convert("RGB"), kind, save_all=True, append_images=more, duration=100), f".{kind}"
        case "progressive jpg":
            return save(grey, "jpg", progressive=True), ".jpg"
        case "turned by EXIF":
            return turned(grey.convert("RGB"), 6), ".jpg"
    raise ValueError(form)


def huge(number: int) -> bytes:
    """A JPEG file of 48 million pixels."""
    return save(draw(number).resize((8000, 6000), Image.Resampling.NEAREST), "jpg", quality=30)


def turned(picture: Image.Image, orientation: int) -> bytes:
    """A JPEG file whose EXIF says how to turn it; as shown it is `picture`."""
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(picture.transpose(turns[orientation]), "jpg", exif=exif)


def save(picture: Image.Image, suffix: str, **options: Any) -> bytes:
    """A file of a kind."""
    out = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
    picture.save(out, kind, **({"quality": 95} | options if kind in ("JPEG", "WEBP") else options))
    return out.getvalue()


def number_of(content: bytes, settings: Any) -> int | str:
    """The number of a picture after decoding by a dataset's settings, or what is wrong with it."""
    try:
        pixels = image.read(content, SIDE, SIDE, 1, settings.decoding()).pixels[..., 0]
    except SampleError as error:
        return f"cannot be read: {error.what}"
    step = SIDE // 4
    grid = pixels.reshape(4, step, 4, step)[:, 3:-3, :, 3:-3].mean(axis=(1, 3))
    if int(pixels.max()) - int(pixels.min()) < 100:
        return f"levels {pixels.min()} to {pixels.max()}"
    if any((grid[field] > 127) != bool(bit) for field, bit in _CORNERS.items()):
        return "turned"
    return sum(int(grid[field] > 127) << n for n, field in enumerate(_FIELDS))
