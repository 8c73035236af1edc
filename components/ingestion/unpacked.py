"""The files of a source side by side in one folder, archives unpacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.contracts.dataset import RemoteFile
from components.core.project import Project
from components.ingestion import archive, download, mirror


@contextmanager
def files(remote: Sequence[RemoteFile], dataset: str) -> Iterator[Path]:
    """A folder with every file under its name, for the time of the block. Plain files are links to where they lie.

    Raises:
        SourceError: a file cannot be had, or an archive is damaged or unsafe.
    """
    state = Project(Path()).state
    with _place(dataset) as place:
        for file in remote:
            name = (file.url or file.name).rpartition("/")[2]
            path = mirror.find(file.sha256, name, state / "cache" / "mirror.json")
            path = path or download.fetch(file, state / "cache" / "downloads")
            if archive.is_archive(path):
                archive.unpack(path, place)
            else:
                (place / file.name).symlink_to(path.resolve())
        yield place


@contextmanager
def folder(path: Path, dataset: str) -> Iterator[Path]:
    """A folder of this machine, or what an archive of it holds, for the time of the block.

    Raises:
        SourceError: the archive is damaged or unsafe.
    """
    if path.is_file() and archive.is_archive(path):
        with _place(dataset) as place:
            archive.unpack(path, place)
            yield place
    else:
        yield path


@contextmanager
def _place(dataset: str) -> Iterator[Path]:
    place = Project(Path()).state / "staging" / dataset / "source"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
