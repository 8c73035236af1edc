"""WAV files with their fields in their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from components.contracts.dataset_layout import WavLayout
from components.core.errors import SourceError
from components.ingestion.sample import Sample


def samples(layout: WavLayout, folder: Path) -> Iterator[Sample]:
    """The files below the root, sorted by path; the id is the path. Silent and damaged files are kept.

    Raises:
        SourceError: no such folder, no WAV file in it, a name that does not fit the pattern.
    """
    root = folder / layout.root
    if not root.is_dir():
        raise SourceError("no such folder", where=str(root))
    pattern = _compile(layout.pattern)
    found = False
    for path in sorted(_files(root)):
        name = path.relative_to(root).as_posix()
        match = pattern.fullmatch(name)
        if match is None:
            raise SourceError(
                "a name that does not fit the pattern", where=str(root), got=name, expected=layout.pattern
            )
        found = True
        yield Sample(name, _split(layout, match.groupdict()), {"sound": path.read_bytes(), **match.groupdict()})
    if not found:
        raise SourceError("no WAV file in the folder", where=str(root))


def _split(layout: WavLayout, parts: dict[str, str]) -> str | None:
    for split, conditions in (("test", layout.test), ("validation", layout.validation)):
        if conditions and all(parts[name] in values for name, values in conditions.items()):
            return split
    return "train" if layout.test or layout.validation else None


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", pattern)  # text and names in turn
    return re.compile(
        "".join(f"(?P<{part}>[^/]+?)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, file_names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            Path(folder, name) for name in file_names if name.lower().endswith(".wav") and not name.startswith(".")
        )
