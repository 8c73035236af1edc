"""Images or texts in one folder for each class."""

from __future__ import annotations

import codecs
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.contracts.dataset_layout import FolderLayout
from components.core.errors import SourceError
from components.ingestion import image_names, text_encoding, text_lines, visible_files
from components.ingestion.class_name import class_name
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample, split_name

TEXTS = frozenset({".txt"})


def samples(layout: FolderLayout, root: Path, remarks: Remarks) -> Iterator[Sample]:
    """`<class>/**/x.jpg`, or `<split>/<class>/**/x.jpg` with `splits`, by path; the id is the path.

    A file is an image if its suffix or its first bytes say so. Unreadable images are kept: validation counts and shows
    them. Other files, and folders that the layout does not name, are left out.

    Raises:
        SourceError: no such folder, no file in it, a file outside a class folder, an unknown split, a damaged text, a
            class of which nothing is read.
    """
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    files = list(_files(layout, root, remarks))
    _check_classes(layout, root, files)
    for path in files:
        parts = path.relative_to(root).parts
        split = None
        if layout.splits:
            name = parts[0] if layout.splits is True else layout.splits[parts[0]]
            split = split_name(name, str(root / parts[0]))
        class_folder = parts[int(bool(layout.splits))]
        content = {"text": _text(path, layout.encoding)} if layout.text else {"image": path.read_bytes()}
        label = class_name((layout.classes or {}).get(class_folder, class_folder))
        yield Sample(unicodedata.normalize("NFC", "/".join(parts)), split, {**content, "label": label})


def _files(layout: FolderLayout, root: Path, remarks: Remarks) -> Iterator[Path]:
    """The files of samples."""
    count, kind = 0, "a text" if layout.text else "an image"
    for path in visible_files.walk(root, remarks):
        parts = path.relative_to(root).parts
        if _is_excluded(layout, parts):
            remarks.add("files in folders that the layout does not name are left out", "/".join(parts))
        elif not _is_content(layout, path):
            remarks.add(f"files {path.suffix.lower() or 'without a suffix'} are left out", "/".join(parts))
        elif len(parts) < 2 + bool(layout.splits):
            expected = "<split>/<class>/<file>" if layout.splits else "<class>/<file>"
            raise SourceError(f"{kind} outside a class folder", where=str(path), expected=expected)
        else:
            count += 1
            yield path
    if not count:
        expected = " ".join(sorted(TEXTS if layout.text else image_names.SUFFIXES))
        raise SourceError(f"no {kind.partition(' ')[2]} in the folder", where=str(root), expected=expected)


def _is_content(layout: FolderLayout, path: Path) -> bool:
    suffix = path.suffix.lower()
    return suffix in TEXTS if layout.text else suffix in image_names.SUFFIXES or image_names.is_image(path)


def _check_classes(layout: FolderLayout, root: Path, files: Sequence[Path]) -> None:
    """Refuse a class folder of which nothing is read, and a class that the layout names and that is not there.

    Raises:
        SourceError: names all such classes.
    """
    depth = int(bool(layout.splits))
    read = {path.relative_to(root).parts[depth] for path in files}
    split_folders = [path for path in visible_files.children(root) if path.is_dir()] if depth else [root]
    if isinstance(layout.splits, dict):
        split_folders = [path for path in split_folders if path.name in layout.splits]
    folders: dict[str, list[Path]] = {name: [] for name in layout.classes or {}}
    for split_folder in split_folders:
        for path in visible_files.children(split_folder):
            if path.is_dir() and (layout.classes is None or path.name in layout.classes):
                folders.setdefault(path.name, []).append(path)
    empty = {name: found for name, found in folders.items() if name not in read}
    if not empty:
        return
    raise SourceError(
        "classes of which nothing is read",
        where=str(root),
        got="; ".join(f"{name}: {_content(found)}" for name, found in sorted(empty.items())),
        expected=" ".join(sorted(TEXTS if layout.text else image_names.SUFFIXES)),
        next_step="convert the files, remove the folders, or name the classes to read in "
        "`layout: {kind: folder, classes: {FOLDER: NAME, ...}}`",
    )


def _content(folders: Sequence[Path]) -> str:
    """What is in the folders of a class, in words."""
    if not folders:
        return "no such folder"
    suffixes = Counter(path.suffix or "without a suffix" for folder in folders for path in visible_files.walk(folder))
    return ", ".join(f"{count:,} files {suffix}" for suffix, count in suffixes.most_common(3)) or "empty"


def _is_excluded(layout: FolderLayout, parts: tuple[str, ...]) -> bool:
    """Whether the layout names folders, and the path is in none of them."""
    if isinstance(layout.splits, dict) and parts[0] not in layout.splits:
        return True
    class_index = int(bool(layout.splits))
    return layout.classes is not None and (len(parts) < class_index + 2 or parts[class_index] not in layout.classes)


def _text(path: Path, encoding: str) -> str:
    is_utf8 = codecs.lookup(encoding).name.startswith("utf-8")
    lines = (line for _, line in text_lines.read(path, encoding, strict=not is_utf8))
    return "".join(text_encoding.checked(lines, path, encoding) if text_encoding.has_no_controls(encoding) else lines)
