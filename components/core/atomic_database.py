"""Atomic creation of an SQLite database: after a kill, the database is complete or missing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path


def create(path: Path, build: Callable[[Path], None]) -> bool:
    """Create a database with `build` under another name, then rename it to `path`; an existing one stays unchanged.

    Args:
        build: creates the tables in the given file; it may leave connections open.

    Returns:
        Whether the database was created now.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building, copy = path.with_name(f"{path.name}.building"), path.with_name(f"{path.name}.copying")
    for leftover in (building, copy):
        _remove(leftover)
    build(building)
    # The copy includes the content of the write-ahead log.
    with contextlib.closing(sqlite3.connect(building)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(path)
    for leftover in (building, copy):
        _remove(leftover)
    return True


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
