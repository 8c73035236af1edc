"""Looking at both sides: what the registry asks for, what the service says it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from components.contracts.pipeline import PipelineSpec
from components.contracts.serving_spec import RolloutPolicy
from components.core import located_yaml
from components.core.errors import NotFoundError, SpecError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import history
from components.release import ledger as ledgers
from components.release.decision import Decision, DesiredState, ObservedState, decide
from components.release.ledger import Role
from flows.releases.service import Service

ROLES: tuple[Role, ...] = ("champion", "challenger")


def wanted(api: Api, name: str) -> DesiredState:
    """What the aliases of a model name."""
    return DesiredState.of(versions.aliases_of(api, name))


def terms(project: Project, name: str) -> RolloutPolicy | None:
    """On which terms a challenger is to be beside the champion; None where the pipeline's file cannot be read."""
    try:
        return located_yaml.read(project.pipeline_file(name), PipelineSpec).release.terms()
    except (SpecError, NotFoundError):
        return None


def to_do(api: Api, project: Project, name: str) -> Decision | None:
    """What is due for a model, or was left unfinished; None: production is what the registry asks for."""
    asked = DesiredState.of(versions.aliases_of(api, name), terms(project, name))
    entries = ledgers.of(project, name).entries()
    for role in ROLES:
        left = history.unfinished(entries, role)
        if left is not None:
            return Decision(role, f"the release {left.id} of the {role} was left unfinished")
    return decide(asked, ObservedState.of(Service(project, name).statement()))


@contextmanager
def alone(project: Project, name: str) -> Iterator[bool]:
    """Whether this process is the one that releases this model now; it is, for as long as the block lasts."""
    path = _lock(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        try:
            flock(stream, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            yield True


def is_at_work(project: Project, name: str) -> bool:
    """Whether a process releases this model now."""
    path = _lock(project, name)
    if not path.exists():
        return False
    with path.open("a") as stream:
        try:
            flock(stream, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock(project: Project, name: str) -> Path:
    return project.locks / f"release-{name}.lock"
