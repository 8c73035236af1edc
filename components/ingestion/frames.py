"""The frame in which the boxes of a dataset are: of the images as stored, or as shown.

A camera that is held upright stores the picture lying and notes in EXIF how to turn it. Some editors of annotations
write boxes and sizes of the stored picture, others of the picture as it is shown. Preprocessing turns the picture, so
boxes of the stored picture are turned here.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from components.core.errors import SourceError
from components.ingestion.remarks import Remarks

_ORIENTATION = 0x0112
_NAMED = 5
Size = tuple[int, int]
Frame = Literal["stored", "shown"]


class Annotated(NamedTuple):
    """An annotated image.

    Args:
        declared: width and height as the annotation says them; None if it does not.
    """

    path: Path
    declared: Size | None


class _Header(NamedTuple):
    size: Size
    orientation: int  # of EXIF, 1 to 8

    @property
    def shown(self) -> Size:
        return self.size if self.orientation < 5 else (self.size[1], self.size[0])


def frame(images: Sequence[Annotated], sizes: Literal["refuse", "ignore"], where: str, remarks: Remarks) -> Frame:
    """The frame of a dataset's boxes, by the sizes that are declared for images which EXIF turns by a quarter.

    Raises:
        SourceError: a declared size is neither that of the stored nor that of the shown image; the images of a dataset
            are in both frames; images are turned by half or mirrored, and nothing says in which frame the boxes are.
    """
    stored: list[str] = []
    shown: list[str] = []
    other: list[str] = []
    unclear: list[str] = []
    for image in images:
        header = _header(image.path)
        if header is None:
            continue  # validation counts what cannot be read
        if image.declared is not None and image.declared not in (header.size, header.shown):
            other.append(f"{image.path.name}: {_text(image.declared)}, the image is {_text(header.shown)}")
        elif header.orientation != 1:
            if image.declared is None or header.size == header.shown:
                unclear.append(image.path.name)
            else:
                (stored if image.declared == header.size else shown).append(image.path.name)
    if other and sizes == "refuse":
        raise SourceError(
            f"{len(other):,} of {len(images):,} annotations are of an image of another size",
            where=where,
            got="; ".join(other[:_NAMED]),
            expected="the size of the image: the boxes would be beside the objects",
            next_step="mend the annotations or the images; `sizes: ignore` in the layout if the boxes are right",
        )
    if stored and shown:
        raise SourceError(
            "some boxes are of images as stored, others of images as EXIF turns them",
            where=where,
            got=f"{len(stored):,} as stored ({stored[0]}, …), {len(shown):,} as shown ({shown[0]}, …)",
            expected="one frame in a dataset",
            next_step="write the images without EXIF orientation, or mend the annotations",
        )
    if unclear and not stored and not shown:
        remarks.add(
            "images are turned by EXIF, and nothing says whether their boxes are of the image as stored or as shown: "
            "as shown is assumed",
            unclear[0],
            len(unclear),
        )
    return "stored" if stored else "shown"


def turned(boxes: Sequence[dict[str, Any]], content: bytes) -> list[dict[str, Any]]:
    """Boxes of an image as stored, as boxes of the image as shown."""
    header = _header(io.BytesIO(content))
    if header is None or header.orientation == 1:
        return list(boxes)
    width, height = header.size
    return [{**box, **_turned(box, header.orientation, width, height)} for box in boxes]


def stored_size(content: bytes) -> tuple[Size, int] | None:
    """Width and height of an image as stored, and the orientation of its EXIF data, 1 to 8; None if it is no image."""
    header = _header(io.BytesIO(content))
    return None if header is None else (header.size, header.orientation)


def shown_size(content: bytes) -> Size | None:
    """Width and height of an image as shown; None if it is no image."""
    header = _header(io.BytesIO(content))
    return None if header is None else header.shown


def _turned(box: dict[str, Any], orientation: int, width: int, height: int) -> dict[str, float]:
    """EXIF 2.3, table 5: where the stored row 0 and column 0 are in the image as shown."""
    corners = []
    for x, y in ((box["xmin"], box["ymin"]), (box["xmax"], box["ymax"])):
        corners.append(
            {
                2: (width - x, y),
                3: (width - x, height - y),
                4: (x, height - y),
                5: (y, x),
                6: (height - y, x),
                7: (height - y, width - x),
                8: (y, width - x),
            }[orientation]
        )
    (x1, y1), (x2, y2) = corners
    return {"xmin": min(x1, x2), "ymin": min(y1, y2), "xmax": max(x1, x2), "ymax": max(y1, y2)}


def _header(file: Path | io.BytesIO) -> _Header | None:
    try:
        with Image.open(file) as image:
            orientation = 1 if image.format == "PNG" else int(image.getexif().get(_ORIENTATION, 1))
            return _Header(image.size, orientation if 1 <= orientation <= 8 else 1)
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, Image.DecompressionBombError):
        return None


def _text(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
