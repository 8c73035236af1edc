"""An SQLite database that is wholly made or not there: a kill while its tables are made leaves no half of it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path


def create(path: Path, build: Callable[[Path], None]) -> bool:
    """Have `build` make a database under another name, then put it in its place; one that is there is left alone.

    Args:
        build: makes the tables in the file that it is given; connections that it leaves open do no harm.

    Returns:
        Whether it was made now.
    """
    if path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building, copy = path.with_name(f"{path.name}.building"), path.with_name(f"{path.name}.copying")
    for leftover in (building, copy):
        _remove(leftover)
    build(building)
    # Copied, so that what a write-ahead log holds is in the one file.
    with contextlib.closing(sqlite3.connect(building)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    copy.replace(path)
    for leftover in (building, copy):
        _remove(leftover)
    return True


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
