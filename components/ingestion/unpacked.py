"""The files of a source in one folder, archives unpacked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.contracts.dataset import RemoteFile
from components.core.errors import ModelyardError
from components.core.project import Project
from components.ingestion import archive, mirror


@contextmanager
def files(remote: Sequence[RemoteFile], dataset: str, names: str | None = None) -> Iterator[Path]:
    """A temporary folder with every file under its name, archives unpacked; other files are symbolic links.

    Args:
        names: as in `archive.unpack`.

    Raises:
        SourceError: a file cannot be fetched, or an archive is damaged or unsafe.
    """
    state = Project(Path()).state
    with _temporary_folder(dataset) as target:
        for file in remote:
            name = (file.url or file.name).rpartition("/")[2]
            path = mirror.find(file.sha256, name, state / "cache" / "mirror.json")
            if path is None:
                from components.ingestion import download  # an HTTP client takes a tenth of a second to import

                path = download.fetch(file, state / "cache" / "downloads")
            if archive.is_archive(path):
                archive.unpack(path, target, names=names)
            else:
                (target / file.name).symlink_to(path.resolve())
        yield target


@contextmanager
def folder(path: Path, dataset: str, names: str | None = None) -> Iterator[Path]:
    """A local folder, or a temporary folder with the content of a local archive.

    Args:
        names: as in `archive.unpack`.

    Raises:
        SourceError: the archive is damaged or unsafe.
    """
    if path.is_file() and archive.is_archive(path):
        with _temporary_folder(dataset) as target:
            archive.unpack(path, target, names=names)
            with _named_after(path, target):
                yield target
    else:
        yield path


@contextmanager
def _named_after(path: Path, target: Path) -> Iterator[None]:
    """Errors name the archive, not the temporary folder of its content."""
    try:
        yield
    except ModelyardError as error:
        for fact in ("where", "got", "expected"):
            if (text := getattr(error, fact)) is not None:
                setattr(error, fact, text.replace(str(target), str(path)))
        raise


@contextmanager
def _temporary_folder(dataset: str) -> Iterator[Path]:
    target = Project(Path()).state / "staging" / dataset / "source"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        yield target
    finally:
        shutil.rmtree(target, ignore_errors=True)
