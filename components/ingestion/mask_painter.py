"""Masks of classes: painted from boxes and segments, and as the fields of a sample.

A raw mask is a PNG file of class numbers; 255 is a pixel that is ignored. Legend: H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.contracts.dataset_layout import MOST_CLASSES
from components.core.errors import SourceError
from components.ingestion import frames, png
from components.ingestion.remarks import Remarks

IGNORED = 255
BACKGROUND = "background"
_TURNS = {  # EXIF orientations with width and height exchanged: how the stored image becomes the shown one
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip

Numbers = NDArray[np.uint8]  # (H, W)


def fields(image: bytes, numbers: Numbers, names: Mapping[int, str]) -> dict[str, Any]:
    """The fields of a sample: the image, the mask, and the names of the classes in it by their numbers."""
    present = [int(number) for number in np.unique(numbers) if number != IGNORED]
    classes = {str(number): names[number] for number in present}
    return {"image": image, "mask": png.encode(numbers), "mask_classes": classes}


def upright(numbers: Numbers, image: bytes, remarks: Remarks) -> tuple[Numbers, str | None]:
    """The mask of an image as shown, and what is wrong with its size; a mask of the image as stored is turned with it.

    An image that cannot be read has no size: validation counts and shows it.
    """
    header = frames.stored_size(image)
    if header is None:
        return numbers, None
    (width, height), orientation = header
    shown = (width, height) if orientation < 5 else (height, width)
    size = numbers.shape[1], numbers.shape[0]
    if orientation in _TURNS and size == (width, height) != shown:
        remarks.add("masks are of images as stored, and are turned with them as EXIF says")
        return np.asarray(Image.fromarray(numbers).transpose(_TURNS[orientation])), None
    if size != shown:
        return numbers, f"{size[0]}x{size[1]}, the image is {shown[0]}x{shown[1]}"
    if orientation != 1:
        remarks.add("images are turned by EXIF, and their masks have the size of both: as shown is assumed")
    return numbers, None


class Region(NamedTuple):
    """A named region: the flags (h, w) of the pixels from (top, left) on; the rest of the image is not in it."""

    name: str
    top: int
    left: int
    flags: NDArray[np.bool_]


class Painter:
    """Paints regions into masks; a class has the next free number when it first occurs, `background` has 0."""

    def __init__(self, remarks: Remarks) -> None:
        self._numbers = {BACKGROUND: 0}
        self._remarks = remarks

    @property
    def names(self) -> dict[int, str]:
        """The names of the classes by their numbers."""
        return {number: name for name, number in self._numbers.items()}

    def of_boxes(
        self, image: bytes, boxes: Sequence[dict[str, Any]], shape: Literal["ellipses", "rectangles"]
    ) -> dict[str, Any]:
        """The fields of a sample: smaller boxes are above larger ones. A pixel belongs to what its centre is in."""
        width, height = frames.shown_size(image) or (1, 1)  # validation counts what cannot be read
        regions = [_region(box, width, height, shape) for box in boxes]
        return fields(image, self.paint(regions, width, height), self.names)

    def paint(self, regions: Sequence[Region], width: int, height: int) -> Numbers:
        """The mask (H, W) of regions, smaller ones above larger ones.

        Raises:
            SourceError: there are more classes than a mask can have.
        """
        numbers = np.zeros((height, width), np.uint8)
        for region in sorted(regions, key=lambda one: -int(one.flags.sum())):
            if not region.flags.any():
                self._remarks.add("regions without a pixel are not in a mask", region.name)
                continue
            number = self._numbers.setdefault(region.name, len(self._numbers))
            if number >= MOST_CLASSES:
                raise SourceError("too many classes for a mask", got=number + 1, expected=f"at most {MOST_CLASSES}")
            rows, columns = region.flags.shape
            window = numbers[region.top : region.top + rows, region.left : region.left + columns]
            if (region.flags & (window != 0) & (window != number)).any():
                self._remarks.add("regions are partly above larger ones of another class", region.name)
            window[region.flags] = number
        return numbers


def _region(box: Mapping[str, Any], width: int, height: int, shape: str) -> Region:
    """The pixels whose centres are in a box, or in the ellipse that touches its sides."""
    left, top, right, bottom = (float(box[corner]) for corner in ("xmin", "ymin", "xmax", "ymax"))
    first = max(0, math.floor(left)), max(0, math.floor(top))
    x = np.arange(first[0], min(width, math.ceil(right))) + 0.5
    y = (np.arange(first[1], min(height, math.ceil(bottom))) + 0.5)[:, None]
    if not (left < right and top < bottom):
        flags = np.zeros((0, 0), np.bool_)
    elif shape == "rectangles":
        flags = (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
    else:
        across, down = 2 * (x - left) / (right - left) - 1, 2 * (y - top) / (bottom - top) - 1
        flags = np.asarray(across**2 + down**2 <= 1)
    return Region(str(box["label"]), first[1], first[0], flags)
