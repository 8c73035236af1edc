"""The status of each model: what is asked for, what is pinned and serves, and since when."""

from __future__ import annotations

from dataclasses import dataclass

from components.core.errors import CorruptArtifactError, RegistryError, StackError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release.decision import ROLES, DesiredState, ObservedState, decide
from components.release.ledger import Entry
from flows.platform import connections
from flows.releases import observation
from flows.releases.observation import Observer

IN_STEP, SILENT = "in step", "the registry does not answer"
AT_REST = (IN_STEP, SILENT)  # of a model that nothing is known of


@dataclass(frozen=True)
class ModelStatus:
    """One model.

    Args:
        desired, actual: the champion's version; None: none.
        since: when the version that serves was switched to, ISO 8601; None: not known.
        state: `in step` (with the hosts that are not), or what is going on or wrong.
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
        registry: the MLflow server's URL; None: it is not running.
    """
    aliases: dict[str, dict[str, str]] | None = None
    if registry is not None:
        with Api(registry, connections.of(project).mlflow.credentials, patience_seconds=0, timeout_seconds=5) as api:
            try:
                aliases = versions.aliases(api)
            except RegistryError:
                aliases = None
    found = [_of_model(project, path.stem, aliases) for path in sorted(project.pipelines.glob("*.yaml"))]
    return [row for row in found if row.desired or row.actual or row.since or row.url or row.state not in AT_REST]


def _of_model(project: Project, name: str, aliases: dict[str, dict[str, str]] | None) -> ModelStatus:
    observer = Observer(project, name)
    named = (aliases or {}).get(name, {})
    desired = DesiredState.of(named)
    try:
        situation = observer.situation(named if aliases is not None else None)
        entries = observer.ledger.entries()
    except CorruptArtifactError as error:
        observed, since, state = ObservedState.of(observer.service.status()), None, f"{error.what}: {error.where}"
    except StackError as error:  # of a cluster: nothing is known of what serves
        observed, since, state = ObservedState(), None, f"{error.what}: {error.got or error.where}"
    else:
        observed = situation.observed or ObservedState()
        since = _since(entries, observed.champion)
        left = next((situation.open[role] for role in ROLES if role in situation.open), None)
        decision = decide(situation)
        if left is not None:
            verb = "releasing" if observation.is_at_work(project, name) else "left unfinished"
            step = left.entries[-1].event
            state = f"{verb}: {left.role} {left.after.version if left.after else 'none'}, {step}"
        elif aliases is None:
            state = SILENT
        else:
            state = decision.reason if decision is not None else _in_step(observed)
    return ModelStatus(
        name,
        desired.champion,
        observed.champion,
        since,
        desired.challenger,
        observed.challenger,
        observer.service.url if observed.champion or observed.challenger else None,
        state,
    )


def _in_step(observed: ObservedState) -> str:
    """That production is what is asked for; and which hosts cannot be told, or answer nobody."""
    silent = f"no answer from {', '.join(observed.absent)}" if observed.absent else ""
    waiting = f"{', '.join(observed.unleased)} without a lease" if observed.unleased else ""
    return ", but ".join(filter(None, (IN_STEP, "; ".join(filter(None, (silent, waiting))))))


def _since(entries: list[Entry], version: str | None) -> str | None:
    """When production was last switched to the version that serves."""
    found = [
        entry
        for entry in entries
        if entry.role == "champion" and entry.event == "switched" and entry.after and entry.after.version == version
    ]
    return found[-1].time if found else None
