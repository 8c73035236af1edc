"""Atomic creation of an SQLite database: after a kill, the database is complete or missing.

A server's tables take seconds to make and are the same in every project, so an empty database is kept beside the
installed libraries and copied from there. Where that folder cannot be written, each project makes its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from components.core import file_lock


def create(path: Path, build: Callable[[Path], None], template: Path | None = None) -> bool:
    """Create a database under another name, then rename it to `path`; an existing one stays unchanged.

    Args:
        build: creates the tables in the given file; it may leave connections open.
        template: an empty database that is copied if it is there, and is kept there for the next project if not.

    Returns:
        Whether the database was created now.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building, copy = path.with_name(f"{path.name}.building"), path.with_name(f"{path.name}.copying")
    for leftover in (building, copy):
        _remove(leftover)
    with _alone(template):
        if template is None or not _copied(template, copy):
            build(building)
            _copy(building, copy)  # with the content of the write-ahead log
            if template is not None:
                _keep(copy, template)
    copy.replace(path)
    for leftover in (building, copy):
        _remove(leftover)
    return True


def template_of(distribution: str) -> Path:
    """Where the empty database of an installed server is kept: in its environment, by its version."""
    return Path(sys.prefix) / "var" / "modelyard" / f"{distribution}-{metadata.version(distribution)}.db"


@contextlib.contextmanager
def _alone(template: Path | None) -> Iterator[None]:
    """One process makes the template, and others wait for it; without a lock where no file can be written."""
    with contextlib.ExitStack() as during:
        if template is not None:
            with contextlib.suppress(OSError):
                during.enter_context(file_lock.locked(template.with_suffix(".lock"), "another project's first start"))
        yield


def _copied(template: Path, target: Path) -> bool:
    """Whether the template was there and could be copied; a damaged one is removed."""
    try:
        if not template.is_file():
            return False
        _copy(template, target)
        with contextlib.closing(sqlite3.connect(target)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() == ("ok",):
                return True
    except (sqlite3.Error, OSError):
        pass
    _remove(target)
    with contextlib.suppress(OSError):
        _remove(template)
    return False


def _keep(database: Path, template: Path) -> None:
    """Copy an empty database to the place of the template, where that can be written."""
    part = template.with_name(f"{template.name}.part")
    with contextlib.suppress(sqlite3.Error, OSError):
        _remove(part)
        _copy(database, part)
        part.replace(template)


def _copy(database: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
