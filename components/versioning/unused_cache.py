"""Files of DVC's cache that no commit and no dataset in the workspace uses; DVC finds and removes them."""

from __future__ import annotations

import io
import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from components.core.errors import ModelyardError
from components.core.log import Log
from components.core.project import Project
from components.core.waiting import announced
from components.versioning import reproduction

GcScope = Literal["commits", "branches", "workspace"]
# dvc.yaml may take values from params.yaml and from other files of values; these are YAML, JSON or TOML.
_NAMES_DATA = ("*dvc.lock", "*dvc.yaml", "*.dvc", "*params.yaml", "*params.json", "*params.toml", ".dvc", "*.dvcignore")
_LOGGER = "dvc_data.hashfile.gc"  # names each file of a dry run; `Repo.gc` returns no list


@dataclass(frozen=True)
class UnusedCache:
    """Number and size of the unused files of the cache.

    Args:
        youngest: modification time of the newest file, seconds since 1970; 0 without files.
    """

    files: int
    bytes: int
    youngest: float


def unused(project: Project, scope: GcScope, log: Log | None = None) -> UnusedCache:
    """Count the files that `dvc gc` would remove; no file is removed.

    Args:
        log: called every ten seconds: a long history takes minutes.

    Raises:
        ModelyardError: DVC cannot read a commit, or another process has its lock.
    """
    paths: list[Path] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if isinstance(record.args, tuple) and record.args:
                paths.append(Path(str(record.args[0])))

    logger, handler = logging.getLogger(_LOGGER), Collector()
    level, logger.level = logger.level, logging.INFO
    logger.addHandler(handler)
    try:
        with announced("DVC, which looks for the data of every commit", log):
            _gc(project, scope, dry=True, log=None)
    finally:
        logger.removeHandler(handler)
        logger.level = level
    stats = [path.stat() for path in paths if path.exists()]
    return UnusedCache(
        len(stats), sum(stat_.st_size for stat_ in stats), max((stat_.st_mtime for stat_ in stats), default=0.0)
    )


def collect(project: Project, scope: GcScope, log: Log | None = None) -> None:
    """Remove the unused files, under the lock of the project's data.

    Raises:
        ModelyardError: DVC cannot read a commit, or another process has its lock.
    """
    _gc(project, scope, dry=False, log=log)


def _gc(project: Project, scope: GcScope, *, dry: bool, log: Log | None) -> None:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    in_git = (project.root / ".git").exists()
    options: dict[str, Any] = {"workspace": True}
    options |= {"all_commits": True} if scope == "commits" and in_git else {}
    options |= {"all_branches": True, "all_tags": True} if scope == "branches" and in_git else {}
    with _mute_dvc(), reproduction.data_lock(project, log):
        try:
            with Repo(str(project.root)) as repo:
                if scope == "commits" and in_git:
                    repo.scm.list_all_commits = partial(_commits_that_changed_data, project)
                # `force`: a dataset that `dvc.lock` names and that was never made here has no cache to keep.
                repo.gc(**options, force=True, dry=dry)
        except DvcException as error:
            raise ModelyardError(
                "DVC cannot say what of its cache is unused",
                where=str(project.root / ".dvc"),
                got=error,
                next_step="`dvc gc --workspace --all-commits --dry` says more",
            ) from error


def _commits_that_changed_data(project: Project) -> list[str]:
    """The commits of all refs in which a file changed that names data: of every other one DVC would read the same.

    DVC reads each commit anew, at half a second each.

    Raises:
        ModelyardError: git cannot list them.
    """
    words = ["git", "rev-list", "--all", "--full-history", "--", *_NAMES_DATA]
    done = subprocess.run(words, cwd=project.root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelyardError("git cannot list the commits", where=str(project.root), got=done.stderr.strip()[:300])
    return done.stdout.split()


@contextmanager
def _mute_dvc() -> Iterator[None]:
    """Hide what DVC and its libraries log, to stderr or to stdout, and print: it would stand in a command's JSON."""
    # Its loggers' levels do not last: `dvc gc` sets them itself.
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    levels = {handler: handler.level for logger in loggers for handler in logger.handlers}
    for handler in levels:
        handler.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        for handler, level in levels.items():
            handler.setLevel(level)
