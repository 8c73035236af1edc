"""Images from the cells of a table: encoded bytes, or the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError


class ImageFiles:
    """Finds the files that cells name; paths start at the table's folder, or at its `image_folder`.

    Args:
        folder: the source's folder; no path leads out of it.
        image_folder, suffix: as `image_folder` and `image_suffix` of a layout.
    """

    def __init__(self, table: Path, folder: Path, image_folder: str | None, suffix: str | None) -> None:
        self._suffix = suffix or ""
        self._base = (table.parent / (image_folder or ".")).resolve()
        self._bounds = folder.resolve() if image_folder is not None else self._base

    def __call__(self, cell: str, where: str) -> Path:
        """The file that a cell names.

        Raises:
            SourceError: the cell is empty, the path leads out of the folder, or there is no such file.
        """
        if not cell.strip():
            raise SourceError("no image", where=where, got="an empty cell", expected="a path")
        path = self.path(cell)
        if path is None:
            raise SourceError("an image outside the table's folder", where=where, got=cell)
        if not path.is_file():
            raise SourceError(
                "no such image",
                where=where,
                got=cell,
                expected=f"a file {cell}{self._suffix} in {self._base}",
                next_step="add the file, or set `image_folder:` (relative to the table) and `image_suffix:`",
            )
        return path

    def path(self, cell: str) -> Path | None:
        """The file that a cell names, there or not; None if it is outside the folder. A backslash separates too."""
        for name in dict.fromkeys((cell, cell.strip().replace("\\", "/"))):
            path = (self._base / f"{name}{self._suffix}").resolve()
            if path.is_relative_to(self._bounds) and path.is_file():
                return path
        return path if path.is_relative_to(self._bounds) else None


class Images:
    """Turns cells into the bytes of images, as `ImageFiles` finds them."""

    def __init__(self, layout: TableLayout, table: Path, folder: Path) -> None:
        self._files = ImageFiles(table, folder, layout.image_folder, layout.image_suffix)

    def of(self, value: Any, where: str, place: int) -> bytes:
        """The bytes of an image.

        Raises:
            SourceError: the cell is empty, the path leads out of the folder, or there is no such file.
        """
        if isinstance(value, dict):
            value = value.get("bytes")
        if isinstance(value, bytes):
            return value
        place_text = f"{where} {place}"
        if not isinstance(value, str) or not value.strip():
            expected = "bytes, a struct with `bytes`, or a path"
            got = "an empty cell" if isinstance(value, str) else type(value).__name__
            raise SourceError("no image", where=place_text, got=got, expected=expected)
        return self._files(value, place_text).read_bytes()
