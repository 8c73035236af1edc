"""The fingerprint inputs of a pipeline's last run, stored so that `why` can name what changed."""

from __future__ import annotations

import json
from typing import Any

from components.core import atomic
from components.core.project import Project


def read(project: Project, pipeline: str) -> dict[str, dict[str, Any]]:
    """The inputs of each stage's last fingerprint, by stage; empty if there is no readable record."""
    try:
        document = json.loads(project.last_run(pipeline).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def record(project: Project, pipeline: str, stage: str, inputs: dict[str, Any]) -> None:
    """Store the fingerprint inputs of a stage that has completed."""
    document = {**read(project, pipeline), stage: inputs}
    atomic.write_text(project.last_run(pipeline), json.dumps(document, indent=1, sort_keys=True))
