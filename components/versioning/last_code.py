"""The code of a stage's last run, kept to name the functions and libraries that changed."""

from __future__ import annotations

import json
from pathlib import Path

from components.core import atomic
from components.core.project import Project
from components.identity.source_code import SourceIdentity


def read(project: Project, dataset: str, stage: str) -> SourceIdentity | None:
    """The kept code; None if there is none or the file cannot be read: the record only serves messages."""
    try:
        document = json.loads(_file(project, dataset, stage).read_text())
        return SourceIdentity(dict(document["functions"]), dict(document["libraries"]))
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None


def keep(project: Project, dataset: str, stage: str, code: SourceIdentity) -> None:
    """Keep the code of a current stage."""
    if read(project, dataset, stage) != code:
        atomic.write_text(_file(project, dataset, stage), json.dumps(code._asdict(), sort_keys=True))


def _file(project: Project, dataset: str, stage: str) -> Path:
    return project.state / "last" / dataset / f"{stage}.json"
