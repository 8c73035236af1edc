"""The check of `modelyard doctor`: whether the cluster that serves answers, and lets Modelyard read what it must.

Each pipeline's names in the cluster are checked too: an object of somebody else may have one.
"""

from __future__ import annotations

from components.contracts import settings
from components.core.errors import CorruptArtifactError, ModelyardError
from components.core.project import Project
from components.deployment import release_objects as objects
from components.release import ledger as ledgers
from flows.platform.diagnostics import Finding
from flows.serving_targets import cluster_placement, cluster_snapshot
from flows.serving_targets.cluster_api import ClusterApi, connect
from flows.serving_targets.cluster_traffic import NAME_IS_TAKEN
from flows.serving_targets.serving_target import target_of


def finding(project: Project) -> Finding:
    """One finding; "ok" where no cluster is named.

    Raises:
        SpecError: `modelyard.toml` is wrong.
    """
    found = settings.read(project.root).kubernetes
    if found is None:
        return Finding("cluster", "ok", "none serves")
    labels = cluster_placement.MANAGED
    try:
        with cluster_snapshot.taken(labels):
            api = connect(found)
            count = len(api.list("Deployment", labels))
            api.list("Pod", labels)
            api.list("EndpointSlice", labels)
            if found.form == "kserve":
                count += len(api.list("InferenceService", labels))
            api.get("Secret", objects.controller_secret("doctor"))
            api.get("Service" if found.gateway is None else "HTTPRoute", "doctor")
            return _of_models(project, api) or Finding("cluster", "ok", f"{api.place} answers: {count} Deployments")
    except ModelyardError as error:
        return Finding("cluster", "fail", _words(error), str(error.next_step or "docs/kubernetes.md"))


def told(error: ModelyardError) -> ModelyardError:
    """An error as a person is told of it: that a name is taken, by what, and the choices; another error as it is."""
    kind, _, name = (error.where or "").partition(" ")
    if not isinstance(error, CorruptArtifactError) or kind not in ("Service", "HTTPRoute"):
        return error
    return CorruptArtifactError(
        f"the name {name} is taken: {error.what}",
        where=error.where,
        got=error.got,
        expected=error.expected,
        next_step=NAME_IS_TAKEN,
    )


def _of_models(project: Project, api: ClusterApi) -> Finding | None:
    """What is wrong with the objects of single models; None: nothing. Of a model that was released, it fails."""
    problems: list[ModelyardError] = []
    is_failed = False
    placed = cluster_placement.placed(project) or frozenset()
    for name in sorted(path.stem for path in project.pipelines.glob("*.yaml")):
        try:
            cluster_placement.check(project, name)
            target_of(project, name).spec()
            if name in placed:
                target_of(project, name).status()
        except ModelyardError as error:
            problems.append(told(error))
            is_failed = is_failed or name in placed or bool(ledgers.of(project, name).entries())
    if not problems:
        return None
    what_to_do = "; ".join(dict.fromkeys(str(one.next_step) for one in problems if one.next_step))
    return Finding("cluster", "fail" if is_failed else "warn", " | ".join(map(_words, problems)), what_to_do)


def _words(error: ModelyardError) -> str:
    return "; ".join(str(part) for part in (error.what, error.where, error.got) if part)
