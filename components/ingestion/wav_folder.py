"""Sound files with their fields in their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from components.contracts.dataset_layout import WavLayout
from components.core.errors import SourceError
from components.ingestion import visible_files
from components.ingestion.class_name import class_name
from components.ingestion.remarks import Remarks
from components.ingestion.sample import Sample

SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3"})


def samples(layout: WavLayout, folder: Path, remarks: Remarks) -> Iterator[Sample]:
    """The sounds below the root, sorted by path; the id is the path. Silent and damaged files are kept.

    Sounds are the files with the pattern's suffix, in any case; with any of `SUFFIXES` if the pattern ends with a name.
    Other files are left out.

    Raises:
        SourceError: no such folder, no sound in it, a name that does not fit the pattern, a label without a text.
    """
    root = folder / layout.root
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    pattern, suffixes = _compile(layout.pattern), _suffixes(layout.pattern)
    found = False
    for path in sorted(visible_files.walk(root, remarks)):
        if path.suffix.lower() not in suffixes:
            remarks.add(f"files {path.suffix.lower() or 'without a suffix'} are left out", str(path.relative_to(root)))
            continue
        name = path.relative_to(root).as_posix()
        match = pattern.fullmatch(name)
        if match is None:
            raise SourceError(
                "a name that does not fit the pattern", where=str(root), got=name, expected=layout.pattern
            )
        found = True
        parts = {name: class_name(part) for name, part in match.groupdict().items()}
        fields = {"sound": path.read_bytes(), **parts}
        if layout.texts is not None:
            fields["text"] = _text(layout.texts, parts["label"], name)
        yield Sample(class_name(name), _split(layout, parts), fields)
    if not found:
        raise SourceError("no sound in the folder", where=str(root), expected=" ".join(sorted(suffixes)))


def _split(layout: WavLayout, parts: dict[str, str]) -> str | None:
    for split, conditions in (("test", layout.test), ("validation", layout.validation)):
        if conditions and all(parts[name] in values for name, values in conditions.items()):
            return split
    return "train" if layout.test or layout.validation else None


def _text(texts: dict[str, str], label: str, name: str) -> str:
    """What is said in a file of a label."""
    if label not in texts:
        raise SourceError(
            "no text for this label", where=name, got=label, expected=", ".join(texts),
            next_step="add it to `texts:` of the layout",
        )  # fmt: skip
    return texts[label]


def _suffixes(pattern: str) -> frozenset[str]:
    suffix = re.search(r"\.\w+$", pattern)
    return frozenset({suffix[0].lower()}) if suffix else SUFFIXES


def _compile(pattern: str) -> re.Pattern[str]:
    """The pattern of a path; its suffix is of any case."""
    suffix = re.search(r"\.\w+$", pattern)
    parts = re.split(r"\{(\w+)\}", pattern.removesuffix(suffix[0]) if suffix else pattern)  # text and names in turn
    named = "".join(f"(?P<{part}>[^/]+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    return re.compile(named + (f"(?i:{re.escape(suffix[0])})" if suffix else ""))
