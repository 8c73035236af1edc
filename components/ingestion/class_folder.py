"""Images in one folder a class."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from components.contracts.errors import SourceError
from components.ingestion.sample import Sample, split_name

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def samples(root: Path, *, splits: bool) -> Iterator[Sample]:
    """`<class>/**/x.jpg`, or `<split>/<class>/**/x.jpg` with `splits`, sorted by path; the id is that path.

    Files are handed over as they are, readable or not: validation counts and shows the broken ones. Hidden files and
    files without an image's suffix are left out and counted on stderr.

    Raises:
        SourceError: no such folder, no image in it, an image outside a class folder, an unknown split.
    """
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    found = other = 0
    for path in _files(root):
        if path.suffix.lower() not in SUFFIXES:
            other += 1
            continue
        found += 1
        parts = path.relative_to(root).parts
        if len(parts) < 2 + splits:
            expected = "<split>/<class>/<file>" if splits else "<class>/<file>"
            raise SourceError("an image outside a class folder", where=str(path), expected=expected)
        split = split_name(parts[0], str(root / parts[0])) if splits else None
        yield Sample("/".join(parts), split, {"image": path.read_bytes(), "label": parts[int(splits)]})
    if not found:
        raise SourceError("no image in the folder", where=str(root), expected=" ".join(sorted(SUFFIXES)))
    if other:
        print(f"{root}: {other} files that are no images left out", file=sys.stderr)


def _files(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)
