"""Images or texts in one folder for each class."""

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
    """`<class>/**/x.jpg`, or `<split>/<class>/**/x.jpg` with `splits`, sorted by path; the id is the path.

    Unreadable images are kept: validation counts and shows them. Hidden files, files with another suffix and files that
    the layout excludes are left out; their number is printed to stderr.

    Raises:
        SourceError: no such folder, no file in it, a file outside a class folder, an unknown split, a damaged text.
    """
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    suffixes, content_kind = (TEXTS, "text") if layout.text else (SUFFIXES, "image")
    count = excluded = 0
    for path in _files(root):
        parts = path.relative_to(root).parts
        if path.suffix.lower() not in suffixes or _is_excluded(layout, parts):
            excluded += 1
            continue
        count += 1
        if len(parts) < 2 + bool(layout.splits):
            expected = "<split>/<class>/<file>" if layout.splits else "<class>/<file>"
            raise SourceError(
                f"{'a' if layout.text else 'an'} {content_kind} outside a class folder",
                where=str(path),
                expected=expected,
            )
        split = None
        if layout.splits:
            name = parts[0] if layout.splits is True else layout.splits[parts[0]]
            split = split_name(name, str(root / parts[0]))
        class_folder = parts[int(bool(layout.splits))]
        content = {"text": _text(path)} if layout.text else {"image": path.read_bytes()}
        yield Sample(
            "/".join(parts), split, {**content, "label": (layout.classes or {}).get(class_folder, class_folder)}
        )
    if not count:
        raise SourceError(f"no {content_kind} in the folder", where=str(root), expected=" ".join(sorted(suffixes)))
    if excluded:
        print(f"{root}: {excluded} other files left out", file=sys.stderr)


def _is_excluded(layout: FolderLayout, parts: tuple[str, ...]) -> bool:
    """Whether the layout names folders, and the path is in none of them."""
    if isinstance(layout.splits, dict) and parts[0] not in layout.splits:
        return True
    class_index = int(bool(layout.splits))
    return layout.classes is not None and (len(parts) < class_index + 2 or parts[class_index] not in layout.classes)


def _text(path: Path) -> str:
    return "".join(line for _, line in text_lines.read(path))


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, file_names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(file_names):
            if not name.startswith("."):
                yield Path(folder, name)
