"""The status of each model: what is asked for, what is pinned and serves, and since when."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from components.core.errors import CorruptArtifactError, ModelyardError, RegistryError, SpecError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api
from components.release.decision import ROLES, DesiredState, ObservedState, decide
from components.release.ledger import Entry
from flows.platform import connections
from flows.releases import observation
from flows.releases.observation import Observer
from flows.serving_targets import cluster_placement, cluster_report, cluster_snapshot

IN_STEP, SILENT = "in step", "the registry does not answer"
AT_REST = (IN_STEP, SILENT)  # of a model that nothing is known of


@dataclass(frozen=True)
class ModelStatus:
    """One model.

    Args:
        desired, actual: the champion's version; None: none.
        since: when the version that serves was switched to, ISO 8601; None: not known.
        state: `in step` (with the hosts that are not), or what is going on or wrong.
        problem: why it is not known what serves; empty if it is.
        next_step: what to do about the problem.
    """

    name: str
    desired: str | None
    actual: str | None
    since: str | None
    desired_challenger: str | None
    actual_challenger: str | None
    url: str | None
    state: str
    problem: str = ""
    next_step: str | None = None


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
    with cluster_snapshot.taken(cluster_placement.MANAGED):
        placed = _placed(project)
        found = [_of_model(project, path.stem, aliases, placed) for path in sorted(project.pipelines.glob("*.yaml"))]
    return [row for row in found if row.desired or row.actual or row.since or row.url or row.state not in AT_REST]


def _placed(project: Project) -> frozenset[str] | ModelyardError | None:
    """The models that a cluster holds, or why that is not known; None: no cluster serves.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    try:
        return cluster_placement.placed(project)
    except SpecError:
        raise
    except ModelyardError as error:
        return error


def _of_model(
    project: Project,
    name: str,
    aliases: dict[str, dict[str, str]] | None,
    placed: frozenset[str] | ModelyardError | None,
) -> ModelStatus:
    """One model; what fails for it is said in its row, so that the others have theirs."""
    observer = Observer(project, name)
    named = (aliases or {}).get(name, {})
    desired = DesiredState.of(named)
    try:
        if placed is not None and not named and not observer.has_history() and not _is_among(name, placed):
            return ModelStatus(name, None, None, None, None, None, None, IN_STEP)  # a cluster is asked nothing of it
        if isinstance(placed, ModelyardError):
            return _unknown(name, desired, ObservedState(), None, placed)
        return _known(project, name, observer, desired, named if aliases is not None else None)
    except SpecError:
        raise
    except ModelyardError as error:
        observed, url = ObservedState(), None
        if isinstance(error, CorruptArtifactError):  # of the ledger: what serves can be asked all the same
            with suppress(ModelyardError):
                observed = ObservedState.of(observer.service.status())
                url = observer.service.url if observed.champion or observed.challenger else None
        return _unknown(name, desired, observed, url, error)


def _is_among(name: str, placed: frozenset[str] | ModelyardError) -> bool:
    return not isinstance(placed, ModelyardError) and name in placed


def _unknown(
    name: str, desired: DesiredState, observed: ObservedState, url: str | None, error: ModelyardError
) -> ModelStatus:
    told = cluster_report.told(error)
    place = told.where if isinstance(told, CorruptArtifactError) else told.got or told.where
    problem = ": ".join(filter(None, (told.what, place)))
    return ModelStatus(
        name,
        desired.champion,
        observed.champion,
        None,
        desired.challenger,
        observed.challenger,
        url,
        problem,
        problem,
        told.next_step,
    )


def _known(
    project: Project, name: str, observer: Observer, desired: DesiredState, aliases: dict[str, str] | None
) -> ModelStatus:
    """One model that can be asked.

    Raises:
        ModelyardError: it cannot.
    """
    situation = observer.situation(aliases)
    observed = situation.observed or ObservedState()
    left = next((situation.open[role] for role in ROLES if role in situation.open), None)
    decision = decide(situation)
    if left is not None:
        verb = "releasing" if observation.is_at_work(project, name) else "left unfinished"
        step = left.entries[-1].event
        state = f"{verb}: {left.role} {left.after.version if left.after else 'none'}, {step}"
    elif aliases is None:
        pinned = situation.production.champion if observed.champion is None else None
        state = SILENT if pinned is None else f"{SILENT}; version {pinned.version} is to serve"
    else:
        state = decision.reason if decision is not None else _in_step(observed)
    return ModelStatus(
        name,
        desired.champion,
        observed.champion,
        _since(observer.ledger.entries(), observed.champion),
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
