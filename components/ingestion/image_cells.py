"""Images from the cells of a table: encoded bytes, or the path of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contracts.dataset_layout import TableLayout
from components.core.errors import SourceError


class Images:
    """Turns cells into the bytes of images; paths start at the table's folder, or at its `image_folder`.

    Args:
        folder: the source's folder; no path leads out of it.
    """

    def __init__(self, layout: TableLayout, table: Path, folder: Path) -> None:
        self._suffix = layout.image_suffix or ""
        self._base = (table.parent / (layout.image_folder or ".")).resolve()
        self._bounds = folder.resolve() if layout.image_folder is not None else self._base

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
        path = self.path(value)
        if path is None:
            raise SourceError("an image outside the table's folder", where=place_text, got=value)
        if not path.is_file():
            raise SourceError(
                "no such image",
                where=place_text,
                got=value,
                expected=f"a file {value}{self._suffix} in {self._base}",
                next_step="add the file, or set `image_folder:` (relative to the table) and `image_suffix:`",
            )
        return path.read_bytes()

    def path(self, cell: str) -> Path | None:
        """The file that a cell names, there or not; None if it is outside the folder. A backslash separates too."""
        for name in dict.fromkeys((cell, cell.strip().replace("\\", "/"))):
            path = (self._base / f"{name}{self._suffix}").resolve()
            if path.is_relative_to(self._bounds) and path.is_file():
                return path
        return path if path.is_relative_to(self._bounds) else None
