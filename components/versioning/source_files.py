"""The files of a source on this machine: what `ingest` read, so that an added, changed or removed file makes it stale.

The digest is of names and contents, not of times, and is the same on another machine. Digests of files are kept with
their size and time, as DVC does, so that files are read again only where they have changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from components.contracts.annotation_layout import InstructionLayout, SpanLayout
from components.contracts.dataset import DatasetSpec, FolderSource, TableSource
from components.contracts.dataset_layout import ConllLayout, PairsLayout, TableLayout, WindowsLayout
from components.core import atomic
from components.core.errors import SourceError
from components.core.project import Project
from components.identity import digest
from components.ingestion import visible_files

NAME = "the files of the source"  # beside the functions that a stage's code consists of


def digest_of(root: Path, folder: Path, spec: DatasetSpec) -> str | None:
    """The digest of a source's files; None for a source that is not on this machine, or not here now.

    Args:
        root: the project's folder.
        folder: the dataset's folder, the base of relative paths.

    Raises:
        SourceError: a file cannot be read.
    """
    if not isinstance(spec.source, FolderSource | TableSource):
        return None
    place = folder / spec.source.path
    if not place.exists():
        return None
    cache_file = Project(root).state / "cache" / "sources" / f"{folder.resolve().name}.json"
    known, found = _read(cache_file), {}
    listing = {}
    for path in _files(place, spec):
        name = path.relative_to(place).as_posix() if place.is_dir() else path.name
        try:
            about = path.stat()
            stamp = [about.st_size, about.st_mtime_ns, about.st_ino]
            kept = known.get(name)
            content = kept[1] if kept is not None and kept[0] == stamp else digest.of_file(path)
        except FileNotFoundError:  # removed meanwhile
            continue
        except OSError as error:
            raise SourceError("a file of the source cannot be read", where=str(path), got=error.strerror) from error
        found[name] = [stamp, content]
        listing[name] = content
    if found != known:
        atomic.write_text(cache_file, json.dumps(found))
    return digest.of_value(listing)


def _files(place: Path, spec: DatasetSpec) -> Iterator[Path]:
    """The files that are read: those that the layout names, or all."""
    if place.is_file():
        yield place
        return
    layout = spec.source.layout if isinstance(spec.source, FolderSource) else None
    match layout:
        case TableLayout() if layout.image is None:
            names = _flat(layout.files)
        case ConllLayout() | InstructionLayout() | SpanLayout():
            names = _flat(layout.files)
        case PairsLayout():
            names = [*layout.source.values(), *layout.target.values()]
        case WindowsLayout():
            names = [layout.file]
        case _:
            yield from visible_files.walk(place)
            return
    yield from (place / name for name in names if (place / name).is_file())


def _flat(files: dict[str, str | list[str]]) -> list[str]:
    return [name for names in files.values() for name in ([names] if isinstance(names, str) else names)]


def _read(path: Path) -> dict[str, list[object]]:
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
