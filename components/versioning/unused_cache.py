"""DVC's cache: what no commit and no present dataset names. DVC itself says what that is, and removes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.core.errors import ModelyardError
from components.core.project import Project
from components.versioning import reproduction

Kept = Literal["commits", "branches", "workspace"]
_LOGGER = "dvc_data.hashfile.gc"  # names each file of a dry run; `Repo.gc` returns no list


@dataclass(frozen=True)
class UnusedCache:
    """Files of the cache that nothing names.

    Args:
        youngest: when the latest of them was written, seconds since 1970; 0 without any.
    """

    files: int
    bytes: int
    youngest: float


def unused(project: Project, kept: Kept) -> UnusedCache:
    """What `dvc gc` would remove; nothing is removed.

    Raises:
        ModelyardError: DVC cannot read a commit, or its lock is held.
    """
    paths: list[Path] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and record.args:
                paths.append(Path(str(record.args[0])))

    logger, handler = logging.getLogger(_LOGGER), Listening()
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(handler)
    try:
        _gc(project, kept, dry=True, say=None)
    finally:
        logger.removeHandler(handler)
        logger.level = level
    found = [path.stat() for path in paths if path.exists()]
    return UnusedCache(
        len(found), sum(about.st_size for about in found), max((about.st_mtime for about in found), default=0.0)
    )


def collect(project: Project, kept: Kept, say: Callable[[str], None] | None = None) -> None:
    """Remove what nothing names, while no run works on the data.

    Raises:
        ModelyardError: as `unused`.
    """
    _gc(project, kept, dry=False, say=say)


def _gc(project: Project, kept: Kept, *, dry: bool, say: Callable[[str], None] | None) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    in_git = (project.root / ".git").exists()
    asked: dict[str, Any] = {"workspace": True}
    asked |= {"all_commits": True} if kept == "commits" and in_git else {}
    asked |= {"all_branches": True, "all_tags": True} if kept == "branches" and in_git else {}
    with _quiet(), reproduction.alone(project, say):
        try:
            with Repo(str(project.root)) as repo:
                repo.gc(**asked, dry=dry)
        except DvcException as error:
            raise ModelyardError(
                "DVC cannot say what of its cache is unused",
                where=str(project.root / ".dvc"),
                got=error,
                next_step="`dvc gc --workspace --all-commits --dry` says more",
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """DVC's own lines on standard error are not shown."""
    logger = logging.getLogger("dvc")
    level, logger.level = logger.level, logging.ERROR
    try:
        yield
    finally:
        logger.level = level
