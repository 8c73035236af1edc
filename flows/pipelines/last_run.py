"""What the last run of a pipeline was made of, kept beside its products so that `why` can name what changed."""

from __future__ import annotations

import json
from typing import Any

from components.core import atomic
from components.core.project import Project


def read(project: Project, pipeline: str) -> dict[str, dict[str, Any]]:
    """The parts of each stage's last key; empty where nothing is known, or what is there cannot be read."""
    try:
        document = json.loads(project.last_run(pipeline).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def record(project: Project, pipeline: str, stage: str, inputs: dict[str, Any]) -> None:
    """Remember what a stage was made of, after it is done."""
    document = {**read(project, pipeline), stage: inputs}
    atomic.write_text(project.last_run(pipeline), json.dumps(document, indent=1, sort_keys=True))
