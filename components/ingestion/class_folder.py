"""Images or texts in one folder a class."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from components.contracts.dataset_layout import FolderLayout
from components.core.errors import SourceError
from components.ingestion import text_lines
from components.ingestion.sample import Sample, split_name

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
TEXTS = frozenset({".txt"})


def samples(layout: FolderLayout, root: Path) -> Iterator[Sample]:
    """`<class>/**/x.jpg`, or `<split>/<class>/**/x.jpg` with `splits`, sorted by path; the id is that path.

    Images are handed over as they are, readable or not: validation counts and shows the broken ones. Hidden files and
    files without such a suffix are left out, and so is what the layout leaves out; it is counted on stderr.

    Raises:
        SourceError: no such folder, no file in it, one outside a class folder, an unknown split, a text that is none.
    """
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    suffixes, word = (TEXTS, "text") if layout.text else (SUFFIXES, "image")
    found = other = 0
    for path in _files(root):
        parts = path.relative_to(root).parts
        if path.suffix.lower() not in suffixes or _left_out(layout, parts):
            other += 1
            continue
        found += 1
        if len(parts) < 2 + bool(layout.splits):
            expected = "<split>/<class>/<file>" if layout.splits else "<class>/<file>"
            raise SourceError(
                f"{'a' if layout.text else 'an'} {word} outside a class folder", where=str(path), expected=expected
            )
        split = None
        if layout.splits:
            name = parts[0] if layout.splits is True else layout.splits[parts[0]]
            split = split_name(name, str(root / parts[0]))
        folder = parts[int(bool(layout.splits))]
        content = {"text": _text(path)} if layout.text else {"image": path.read_bytes()}
        yield Sample("/".join(parts), split, {**content, "label": (layout.classes or {}).get(folder, folder)})
    if not found:
        raise SourceError(f"no {word} in the folder", where=str(root), expected=" ".join(sorted(suffixes)))
    if other:
        print(f"{root}: {other} other files left out", file=sys.stderr)


def _left_out(layout: FolderLayout, parts: tuple[str, ...]) -> bool:
    """Whether a path lies in no folder that the layout names, where it names any."""
    if isinstance(layout.splits, dict) and parts[0] not in layout.splits:
        return True
    place = int(bool(layout.splits))
    return layout.classes is not None and (len(parts) < place + 2 or parts[place] not in layout.classes)


def _text(path: Path) -> str:
    return "".join(line for _, line in text_lines.read(path))


def _files(root: Path) -> Iterator[Path]:
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)
