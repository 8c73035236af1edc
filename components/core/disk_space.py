"""Detects a full disk in errors: ENOSPC, EDQUOT, or the messages of SQLite and other libraries."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.core.errors import DiskFullError

NEXT_STEP = "free some space, then run the same command again; completed work is kept, and no partial file is left"

# EDQUOT is missing on some systems.
_ERROR_NUMBERS = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Messages of the C library, and of SQLite, numpy (`save`) and torch (`save`), whose errors have no error number.
_MESSAGES = re.compile(
    r"No space left on device|Disk quota exceeded|database or disk is full"
    r"|\d+ requested and \d+ written|Not enough free space to write"
    r"|PytorchStreamWriter failed writing|inline_container\S* \. unexpected pos"
)


def is_full(error: BaseException) -> bool:
    """Whether an error, or one of its causes, means that the disk is full."""
    return any(_is_disk_full(link) for link in _chain(error))


def message_says_full(text: str) -> bool:
    """Whether the output of another process means that the disk is full."""
    return _MESSAGES.search(text) is not None


def as_error(error: BaseException, where: Path | str | None = None) -> DiskFullError:
    """The `DiskFullError` for an error.

    Args:
        where: the path to report if the error names no file.
    """
    disk_full_error = next((link for link in _chain(error) if isinstance(link, DiskFullError)), None)
    if disk_full_error is not None:
        return disk_full_error
    cause = next((link for link in _chain(error) if _is_disk_full(link)), error)
    filename = cause.filename if isinstance(cause, OSError) and isinstance(cause.filename, str) else None
    place = Path(filename or where or Path.cwd())
    return DiskFullError("no space left on the disk", where=str(place), got=free_space(place), next_step=NEXT_STEP)


@contextmanager
def reported(where: Path) -> Iterator[None]:
    """Within the block, convert errors of a full disk to `DiskFullError`.

    Args:
        where: the path to report if the error names no file.

    Raises:
        DiskFullError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFullError) or not is_full(error):
            raise
        raise as_error(error, where) from error


def free_space(path: Path) -> str | None:
    """The free space of a path's disk, as text; None if it is unknown."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        usage = shutil.disk_usage(path)
    except OSError:
        return None
    return f"{usage.free / 1e6:,.1f} MB of {usage.total / 1e6:,.0f} MB free"


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, DiskFullError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _ERROR_NUMBERS
    return message_says_full(str(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, the members of its exception group, and the causes and contexts of all of them."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        pending += [before for before in (current.__context__, current.__cause__) if before is not None]
        pending += current.exceptions if isinstance(current, BaseExceptionGroup) else []
