"""Open an image file by its content: upright, decoded, and within a limit of pixels.

Pillow reads the file; pillow-heif is imported where a HEIC or HEIF file is met. A JPEG file of very many pixels is
decoded at an eighth, a quarter or half of its size (the scaled inverse DCT of libjpeg).
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from components.core.errors import SampleError

MAX_PIXELS = 25_000_000
DATASET_LIMIT = "input.max_megapixels of dataset.yaml"  # the setting that a message names
TOO_LARGE = "the image has too many pixels"
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "HEIF")
_REDUCIBLE = 8  # a JPEG file has at most this many times the limit: its compressed data is read in full
_ORIENTATION = 0x0112  # EXIF tag
_MEDIA = {"PNG": "png", "JPEG": "jpeg", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "TIFF": "tiff", "AVIF": "avif",
          "HEIF": "heic"}  # fmt: skip
_MAGIC = (
    (b"\x89PNG", "PNG"), (b"\xff\xd8", "JPEG"), (b"BM", "BMP"), (b"GIF8", "GIF"), (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"), (b"II+\x00", "TIFF"), (b"MM\x00+", "TIFF"),
)  # fmt: skip
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
# What Pillow and its plugins raise for damaged files of all kinds.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, RuntimeError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


class Picture(NamedTuple):
    """A decoded, upright image.

    Args:
        width, height: of the file's image; a reduced JPEG image has fewer pixels.
        cut_levels: the file has 16 bits in each of several channels, of which Pillow keeps the upper eight.
    """

    image: Image.Image
    width: int
    height: int
    cut_levels: bool


def kind(content: bytes) -> str | None:
    """The format that the first bytes say, one of `FORMATS`; None for other files."""
    for start, name in _MAGIC:
        if content.startswith(start):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        size = min(int.from_bytes(content[:4], "big"), 256)
        brands = {content[8:12], *(content[place : place + 4] for place in range(16, size, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def media(content: bytes) -> tuple[str, str]:
    """Media type of an image file and a usual suffix; those of unknown bytes for a file that is no image."""
    found = kind(content)
    if found is None:
        return "application/octet-stream", ".img"
    return f"image/{_MEDIA[found]}", "." + {"jpeg": "jpg", "tiff": "tif"}.get(_MEDIA[found], _MEDIA[found])


def read(
    content: bytes, *, max_pixels: int = MAX_PIXELS, target: tuple[int, int] | None = None,
    setting: str = DATASET_LIMIT, reduce_above: int = MAX_PIXELS,
) -> Picture:  # fmt: skip
    """Open and decode an image file; the first picture of several.

    Args:
        max_pixels: the largest number of pixels that are decoded; a larger image is refused before it is decoded.
        target: width and height that the caller needs at least; a large JPEG file is reduced, not below these. None:
            never reduced.
        setting: the setting of `max_pixels`, for the message.
        reduce_above: a JPEG file is large if it has more pixels than this, or than `max_pixels`.

    Raises:
        SampleError: the content is no image, is damaged, or has too many pixels.
    """
    try:
        return _decoded(_opened(content), max_pixels, target, setting, min(reduce_above, max_pixels))
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except _DAMAGED as error:
        raise SampleError("the image is damaged", got=_one_line(error)) from error


def size(content: bytes) -> tuple[int, int]:
    """Width and height of an image file after the rotation of its EXIF data; nothing is decoded.

    Raises:
        SampleError: as `read`.
    """
    try:
        image = _opened(content)
        return (image.height, image.width) if _orientation(image) >= 5 else (image.width, image.height)
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except _DAMAGED as error:
        raise SampleError("the image is damaged", got=_one_line(error)) from error


def _opened(content: bytes) -> ImageFile.ImageFile:
    found = kind(content)
    if found == "HEIF" and "HEIF" not in Image.OPEN:
        import pillow_heif

        pillow_heif.register_heif_opener()
    # Pillow's limit for the whole process is of another size than the caller's, which is checked before decoding.
    Image.MAX_IMAGE_PIXELS = None
    return Image.open(io.BytesIO(content), formats=(found,) if found else FORMATS[:-1])


def _decoded(
    image: ImageFile.ImageFile, max_pixels: int, target: tuple[int, int] | None, setting: str, reduce_above: int
) -> Picture:
    width, height = image.size
    orientation = _orientation(image)
    if width * height > reduce_above:
        _reduce(image, max_pixels, target[::-1] if target and orientation >= 5 else target)
    if image.width * image.height > max_pixels:
        raise SampleError(
            TOO_LARGE,
            got=f"{width}x{height}",
            expected=f"at most {max_pixels:,} pixels ({setting})",
        )
    cut_levels = len(image.getbands()) > 1 and any(";16" in str(tile[3]) for tile in image.tile)
    image.load()
    upright = image if orientation == 1 else ImageOps.exif_transpose(image)
    return Picture(upright, *((height, width) if orientation >= 5 else (width, height)), cut_levels)


def _reduce(image: Image.Image, max_pixels: int, target: tuple[int, int] | None) -> None:
    """Let libjpeg decode a large baseline JPEG at a part of its size; a progressive file is in memory as a whole."""
    pixels = image.width * image.height
    reducible = image.format in ("JPEG", "MPO") and not image.info.get("progressive")
    if target and reducible and pixels <= _REDUCIBLE * max_pixels:
        image.draft(None, target)  # None: the mode stays


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; from 5 on, width and height are exchanged. That of a PNG file does not count."""
    found = 1 if image.format == "PNG" else image.getexif().get(_ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _unidentified(content: bytes) -> SampleError:
    found = kind(content)
    expected = "an image file: " + ", ".join(FORMATS)
    if found is None:
        return SampleError("not an image", got=f"{len(content)} bytes", expected=expected)
    what = f"not an image that is read: a {found} file of an unknown kind, or damaged at its beginning"
    return SampleError(what, got=f"{len(content)} bytes", expected=expected)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:200] or type(error).__name__
