"""The versions of a dataset that git knows: commits whose dvc.lock records other data than the commit before."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from components.core import git
from components.core.project import Project

MOST_COMMITS = 200
_SEPARATOR = "\x1f"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast


class DataRevision(NamedTuple):
    """A commit that changed a dataset.

    Args:
        commit: its full name.
        time: of the commit, ISO 8601.
        subject: the first line of its message.
        refs: tags and branches that name it.
        validated, prepared: what dvc.lock records of the folders.
    """

    commit: str
    time: str
    subject: str
    refs: tuple[str, ...]
    validated: str | None
    prepared: str | None


class DataRevisions(NamedTuple):
    """The revisions, newest first.

    Args:
        reason: why there are none: no git repository, git is not installed; empty where git answered.
        complete: whether git has no earlier commits of dvc.lock than those that were looked at.
    """

    revisions: list[DataRevision]
    reason: str
    complete: bool


def of(project: Project, dataset: str) -> DataRevisions:
    """The versions of a dataset among the last `MOST_COMMITS` commits of dvc.lock."""
    form = _SEPARATOR.join(("%H", "%cI", "%s", "%D"))
    log = git.ask(project.root, "log", f"-n{MOST_COMMITS}", f"--format={form}", "--", "dvc.lock")
    if log.text is None:
        return DataRevisions([], log.reason, True)
    lines = [line.split(_SEPARATOR) for line in log.text.splitlines()]
    found: list[DataRevision] = []
    for commit, time, subject, refs in (line for line in reversed(lines) if len(line) == 4):
        validated, prepared = _recorded(project, dataset, commit)
        before = found[-1] if found else None
        if (validated or prepared) and (before is None or (before.validated, before.prepared) != (validated, prepared)):
            names = tuple(ref.removeprefix("tag: ").removeprefix("HEAD -> ") for ref in refs.split(", ") if ref)
            found.append(DataRevision(commit, time, subject, names, validated, prepared))
    return DataRevisions(found[::-1], "", len(lines) < MOST_COMMITS)


def _recorded(project: Project, dataset: str, commit: str) -> tuple[str | None, str | None]:
    content = git.ask(project.root, "show", f"{commit}:./dvc.lock").output
    try:
        document = yaml.load(content or b"", Loader=_Loader)  # noqa: S506  # a safe loader
        outputs = [out for stage in document["stages"].values() for out in stage.get("outs", ())]
        hashes = {str(out["path"]): str(out["md5"]) for out in outputs if "md5" in out}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None, None
    return hashes.get(f"data/{dataset}/validated"), hashes.get(f"data/{dataset}/prepared")
