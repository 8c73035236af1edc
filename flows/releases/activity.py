"""What the controller does about each model, and what it waits for: `promote` and its like read it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from components.core import atomic
from components.core.project import Project
from components.core.strict import Strict
from components.release.ledger import Role
from flows.platform import state

Doing = Literal["releasing", "retrying", "waiting", "idle"]


class Activity(Strict):
    """The controller's state for one model.

    Args:
        doing: a step is being done; a step failed and is tried again; something else must come first; nothing is due.
        reason: why it is released, or what is waited for.
        champion: the version that the alias named.
        challenger: the version that the alias named.
        failures: releases of these versions in a row that ended with an error.
        failure: the last one's error.
        failed_at: the last one's end, in seconds since 1970.
        next_try: when it is tried again, in seconds since 1970.
    """

    doing: Doing
    reason: str = ""
    champion: str | None = None
    challenger: str | None = None
    failures: int = 0
    failure: str = ""
    failed_at: float | None = None
    next_try: float | None = None

    def wants(self, role: Role, version: str) -> bool:
        """Whether it is about this version."""
        return (self.champion if role == "champion" else self.challenger) == version


def write(project: Project, name: str, activity: Activity) -> None:
    """Replace what was written before."""
    path = _file(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, activity.model_dump_json(indent=1) + "\n")


def read(project: Project, name: str) -> Activity | None:
    """What the controller wrote last; None where it never wrote, or another Modelyard did."""
    try:
        return Activity.model_validate_json(_file(project, name).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _file(project: Project, name: str) -> Path:
    return state.folder(project) / "releases" / f"{name}.json"
