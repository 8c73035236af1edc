"""The files of a source: hidden files, and those that systems put beside everything, are not among them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from components.ingestion.remarks import Remarks

_SYSTEM = frozenset({"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "__pycache__"})


def is_visible(name: str) -> bool:
    """Whether a file or folder of this name is part of a source."""
    return not name.startswith(".") and name.lower() not in _SYSTEM


def children(folder: Path) -> list[Path]:
    """The visible files and folders in a folder, sorted."""
    return sorted(path for path in folder.iterdir() if is_visible(path.name))


def walk(root: Path, remarks: Remarks | None = None) -> Iterator[Path]:
    """The visible files below a folder; of each folder first its files, sorted, then its folders, sorted.

    A link to a folder is not followed, but counted; a broken link too.
    """
    for folder, folders, names in os.walk(root):
        visible = sorted(name for name in folders if is_visible(name))
        folders[:] = [name for name in visible if not Path(folder, name).is_symlink()]
        if remarks is not None:
            for name in sorted(set(visible) - set(folders)):
                remarks.add("links to folders are not followed", str(Path(folder, name).relative_to(root)))
        for name in sorted(names):
            if not is_visible(name):
                continue
            path = Path(folder, name)
            if path.is_file():
                yield path
            elif remarks is not None:
                remarks.add("broken links and special files are left out", str(path.relative_to(root)))


def innermost(folder: Path) -> Path:
    """Descend while a folder holds a single visible entry and that is a folder; the last folder."""
    while folder.is_dir():
        found = children(folder)
        if len(found) != 1 or not found[0].is_dir():
            break
        folder = found[0]
    return folder
