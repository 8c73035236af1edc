"""How each model stands: what is asked for, what serves, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.errors import CorruptArtifactError, RegistryError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release import history
from components.release import ledger as ledgers
from components.release.decision import DesiredState, ObservedState, decide
from flows.platform import connections
from flows.releases import observation
from flows.releases.service import Service


@dataclass(frozen=True)
class ModelStatus:
    """One model.

    Args:
        desired, actual: the champion's version; None: none.
        since: when the version that serves was switched to, ISO 8601; None: not known.
        state: `in step`, or what is going on or wrong.
    """

    name: str
    desired: str | None
    actual: str | None
    since: str | None
    desired_challenger: str | None
    actual_challenger: str | None
    url: str | None
    state: str


def of_all(project: Project, registry: str | None) -> list[ModelStatus]:
    """Every pipeline's model that is asked for, serves, or was released once.

    Args:
        registry: the registry's URL; None: it is not running.
    """
    aliases: dict[str, dict[str, str]] | None = None
    if registry is not None:
        with Api(registry, connections.of(project).mlflow.credentials, patience_seconds=0, timeout_seconds=5) as api:
            try:
                aliases = versions.aliases(api)
            except RegistryError:
                aliases = None
    found = [_standing(project, path.stem, aliases) for path in sorted(project.pipelines.glob("*.yaml"))]
    return [row for row in found if row.desired or row.actual or row.since or row.url]


def _standing(project: Project, name: str, aliases: dict[str, dict[str, str]] | None) -> ModelStatus:
    service = Service(project, name)
    statement = service.statement(timeout_seconds=2)
    named = (aliases or {}).get(name, {})
    wanted = DesiredState.of(named, observation.terms(project, name) if "challenger" in named else None)
    found = ObservedState.of(statement)
    try:
        entries = ledgers.of(project, name).entries()
    except CorruptArtifactError as error:
        state, since = f"{error.what}: {error.where}", None
    else:
        switched = [e for e in entries if e.role == "champion" and e.event == "switched" and e.after is not None]
        ours = [e for e in switched if e.after is not None and e.after.version == found.champion]
        since = ours[-1].time if ours else None
        left = next((release for role in observation.ROLES if (release := history.unfinished(entries, role))), None)
        todo = decide(wanted, found)
        if aliases is None:
            state = "the registry does not answer"
        elif left is not None:
            verb = "releasing" if observation.is_at_work(project, name) else "left unfinished"
            state = f"{verb}: {left.role} {left.after.version if left.after else 'none'}, {left.entries[-1].event}"
        else:
            state = todo.reason if todo is not None else "in step"
    return ModelStatus(
        name,
        wanted.champion,
        found.champion,
        since,
        wanted.challenger,
        found.challenger,
        service.url if statement is not None else None,
        state,
    )
