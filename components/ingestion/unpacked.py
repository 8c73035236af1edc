"""The files of a `url` source side by side in one folder, archives unpacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.contracts.dataset import RemoteFile
from components.contracts.project import Project
from components.ingestion import archive, download, mirror


@contextmanager
def files(remote: Sequence[RemoteFile], dataset: str) -> Iterator[Path]:
    """A folder with every file under its name, for the time of the block. Plain files are links to where they lie.

    Raises:
        SourceError: a file cannot be had, or an archive is damaged or unsafe.
    """
    state = Project(Path()).state
    place = state / "staging" / dataset / "source"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    try:
        for file in remote:
            name = file.url.rpartition("/")[2]
            path = mirror.find(file.sha256, name, state / "cache" / "mirror.json")
            path = path or download.fetch(file, state / "cache" / "downloads")
            if archive.is_archive(path):
                archive.unpack(path, place)
            else:
                (place / file.name).symlink_to(path.resolve())
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
