"""Images and masks whose pixels tell the class: in two folders, or in one."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from components.contracts.dataset_layout import MasksLayout, pixel_value
from components.core.errors import ColouredMaskError, SourceError
from components.ingestion import image_names, mask_painter, visible_files
from components.ingestion.class_name import class_name
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

_NAMED = 5
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, TypeError, Image.DecompressionBombError)


def samples(layout: MasksLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The images with a mask, sorted by their names; ids are the names, below their splits if there are any. An image
    without a mask is left out and counted.

    Raises:
        SourceError: a folder is missing, a mask has no image or cannot be read, or two files have one name. At the end:
            masks of other sizes than their images, and pixels of no class, all counted, the first ones named.
    """
    root = folder / layout.root
    reader = _Reader(layout, remarks)
    if isinstance(layout.images, dict) and isinstance(layout.masks, dict):
        folders = [(name, root / images, root / layout.masks[name]) for name, images in layout.images.items()]
    else:
        folders = [("", root / str(layout.images), root / str(layout.masks))]
    for name, images, masks in folders:
        split = split_name(name, "layout.images") if name else None
        for key, image, mask in pairs(images, masks, layout.mask_suffix, remarks):
            fields = reader.fields(image, mask)
            if fields is not None:
                yield Sample(f"{name}/{key}" if name else key, split, fields)
    reader.conclude(root)


def pairs(images: Path, masks: Path, suffix: str, remarks: Remarks) -> Iterator[tuple[str, Path, Path]]:
    """Name, image and mask of each image with a mask.

    Raises:
        SourceError: a folder is missing, a mask has no image, two files have one name, or there is no pair.
    """
    one = images == masks
    found_masks = _by_name(masks, suffix, is_mask=True)
    found_images = _by_name(images, suffix if one else "", is_mask=False)
    if without := [path for key, path in found_masks.items() if key not in found_images]:
        raise SourceError(
            f"{len(without):,} masks without an image",
            where=str(masks),
            got=", ".join(path.name for path in without[:_NAMED]),
            expected=f"an image of the same name in {images}",
            next_step="remove these masks, or set `mask_suffix:` to what their names have behind those of the images",
        )
    for key, path in found_images.items():
        if key in found_masks:
            yield key, path, found_masks[key]
        else:
            remarks.add("images without a mask are left out", path.name)
    if not found_masks:
        raise SourceError("no mask in the folder", where=str(masks), expected=f"masks named x{suffix}.png")


def _by_name(folder: Path, suffix: str, *, is_mask: bool) -> dict[str, Path]:
    """Images by their path without the file's suffix, sorted: those whose name ends with `suffix`, without it; or, for
    images, those whose name does not."""
    if not folder.is_dir():
        raise SourceError("no such folder", where=str(folder))
    found: dict[str, Path] = {}
    for path in sorted(visible_files.walk(folder)):
        stem = path.with_suffix("").name
        is_named = not suffix or stem.endswith(suffix)
        if path.suffix.lower() not in image_names.SUFFIXES and not image_names.is_image(path):
            continue
        if is_mask != is_named and suffix:
            continue
        stem = stem.removesuffix(suffix) if is_mask else stem
        key = unicodedata.normalize("NFC", (path.parent.relative_to(folder) / stem).as_posix())
        if found.setdefault(key, path) != path:
            raise SourceError("two files of one name", where=str(folder), got=f"{found[key].name}, {path.name}")
    return found


class _Reader:
    """Turns files of masks into class numbers, and counts masks that do not fit."""

    def __init__(self, layout: MasksLayout, remarks: Remarks) -> None:
        self._in_colours, self._remarks = layout.in_colours, remarks
        by_value = {value: class_name(name) for value, name in layout.by_value.items()}
        self._names = dict(enumerate(by_value.values()))
        self._numbers = {value: number for number, value in enumerate(by_value)}
        if layout.ignore is not None:
            self._numbers[pixel_value(layout.ignore)] = mask_painter.IGNORED
        self._used: set[str] = set()
        self._sizes: list[str] = []
        self._unknown: dict[int, tuple[int, int, str]] = {}  # pixels, files and the first file of each value
        self._files = 0

    def fields(self, image: Path, mask: Path) -> dict[str, object] | None:
        """The fields of a sample; None for a mask that does not fit, which `conclude` refuses."""
        self._files += 1
        content = image.read_bytes()
        values = pixels(mask.read_bytes(), str(mask), in_colours=self._in_colours)
        present, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        unknown = [place for place, value in enumerate(present.tolist()) if value not in self._numbers]
        for place in unknown:
            value = int(present[place])
            total, files, first = self._unknown.get(value, (0, 0, mask.name))
            self._unknown[value] = (total + int(counts[place]), files + 1, first)
        if unknown:
            return None
        lookup = np.array([self._numbers[value] for value in present.tolist()], np.uint8)
        numbers, problem = mask_painter.upright(lookup[inverse].reshape(values.shape), content, self._remarks)
        if problem is not None:
            self._sizes.append(f"{mask.name}: {problem}")
            return None
        fields = mask_painter.fields(content, numbers, self._names)
        self._used |= set(fields["mask_classes"].values())
        return fields

    def conclude(self, root: Path) -> None:
        """Remark on classes that no pixel has; to be called after the last mask.

        Raises:
            SourceError: masks did not fit.
        """
        if self._sizes:
            raise SourceError(
                f"{len(self._sizes):,} of {self._files:,} masks are not of the size of their images",
                where=str(root),
                got="; ".join(self._sizes[:_NAMED]),
                expected="a mask has the width and height of its image",
                next_step="mend or remove these pairs",
            )
        if self._unknown:
            most = sorted(self._unknown.items(), key=lambda one: -one[1][0])
            lossy = any(first.lower().endswith((".jpg", ".jpeg")) for _, _, first in self._unknown.values())
            raise SourceError(
                f"pixels of {len(self._unknown):,} values that are no class",
                where=str(root),
                got="; ".join(
                    f"{self._spelled(value)}: {count:,} pixels in {files:,} masks ({first}{', …' if files > 1 else ''})"
                    for value, (count, files, first) in most[:_NAMED]
                ),
                expected=", ".join(self._spelled(value) for value in list(self._numbers)[:20]),
                next_step="JPEG changes the numbers of classes: write masks as PNG"
                if lossy
                else "name the value in `classes:`, or in `ignore:` if these pixels do not count",
            )
        for name in self._names.values():
            if name not in self._used:
                self._remarks.add("classes have no pixel and are no classes of the data", name)

    def _spelled(self, value: int) -> str:
        return str([value >> 16, value >> 8 & 255, value & 255]) if self._in_colours else str(value)


def pixels(content: bytes, where: str, *, in_colours: bool) -> NDArray[np.int64]:
    """The values of a mask's pixels (H, W): class numbers; or colours, as red * 65536 + green * 256 + blue.

    Of a palette, the numbers are the values, unless colours are wanted.

    Raises:
        SourceError: the file is no image.
        ColouredMaskError: it has colours where numbers are expected.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if in_colours:
                red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.int64), 2, 0)
                colours: NDArray[np.int64] = (red << 16) + (green << 8) + blue
                return colours
            levels = np.asarray(image)
    except _DAMAGED as error:
        raise SourceError("the mask cannot be read", where=where, got=error, expected="an image file") from error
    if levels.ndim == 2 and levels.dtype.kind in "biu":
        return levels.astype(np.int64)
    if levels.ndim == 3 and (levels.shape[2] == 2 or (levels[..., :3] == levels[..., :1]).all()):
        return levels[..., 0].astype(np.int64)  # grey, written with three channels or with transparency
    raise ColouredMaskError(
        "a mask in colours, where numbers of classes are expected",
        where=where,
        got=f"{levels.dtype} {levels.shape}",
        next_step="name the colour of each class: `classes: {background: [0, 0, 0], ...}`",
    )
