"""Recognise a column whose cells name image files near the table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from components.drafting.cells import Column

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".jfif",
    ".jpe",
    ".heic",
    ".heif",
    ".avif",
)
_CHECKED = 20  # cells that must all be files
_DEEPEST = 3  # folders below the source
_MOST_FILES = 100_000  # looked through to find the first image
_LONGEST = 200  # characters of a cell that can be a path


class ImageColumn(NamedTuple):
    """A column of images: keys `image`, and `image_folder`, `image_suffix` where cells are no paths by themselves."""

    name: str
    folder: str
    suffix: str

    @property
    def keys(self) -> dict[str, str]:
        """Keys of the layout."""
        keys = {"image": self.name}
        if self.folder not in ("", "."):
            keys["image_folder"] = self.folder
        if self.suffix:
            keys["image_suffix"] = self.suffix
        return keys


def find(columns: Sequence[Column], table: Path, source: Path) -> ImageColumn | None:
    """The column whose first cells, with one folder and one suffix, are image files inside the source's folder."""
    candidates = [column for column in columns if _can_be_paths(column)]
    if not candidates:
        return None
    images = list(_images(source))
    for column in candidates:
        first = next(cell for cell in column.cells if cell).replace("\\", "/").removeprefix("./")
        for image in images:
            for suffix in ("", image.suffix):
                if not image.as_posix().endswith(f"/{first}{suffix}"):
                    continue
                base = Path(image.as_posix().removesuffix(f"/{first}{suffix}"))
                folder = Path(os.path.relpath(base, table.parent)).as_posix()
                if _all_there(column, base, suffix):
                    return ImageColumn(column.name, folder, suffix)
    return None


def _can_be_paths(column: Column) -> bool:
    cells = [cell for cell in column.cells if cell]
    return (
        bool(cells)
        and column.distinct * 2 >= len(cells)
        and all(len(cell) <= _LONGEST and "\n" not in cell and not cell.startswith("/") for cell in cells[:_CHECKED])
    )


def _all_there(column: Column, base: Path, suffix: str) -> bool:
    cells = [cell.replace("\\", "/") for cell in column.cells if cell][:_CHECKED]
    return all((base / f"{cell}{suffix}").is_file() for cell in cells)


def _images(source: Path) -> Iterator[Path]:
    seen = 0
    for place, folders, files in os.walk(source):
        depth = len(Path(place).relative_to(source).parts)
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__"))) if depth < _DEEPEST else []
        for name in files:
            seen += 1
            if seen > _MOST_FILES:
                return
            if Path(name).suffix.lower() in SUFFIXES:
                yield Path(place) / name
