"""The files below a folder, through links to folders too, as a mirror has them that links to where the data lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def files(root: Path) -> Iterator[Path]:
    """Every file below a folder, in the order of paths; a folder that several links lead to is read once."""
    known: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        about = Path(folder).stat()
        if (about.st_dev, about.st_ino) in known:
            folders.clear()
            continue
        known.add((about.st_dev, about.st_ino))
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                yield path
