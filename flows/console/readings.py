"""What takes seconds to read, or needs libraries that the console's server does not import: done by `reader`.

Each function takes texts and returns a JSON document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from components.core.errors import StackError, UsageError
from components.core.project import Project

Document = dict[str, Any]


def plan(project: Project, name: str) -> Document:
    """Which stages of a pipeline are out of date and why, as `modelyard why` says."""
    from components.contracts.pipeline import PipelineSpec
    from components.core import located_yaml
    from components.registry.api import Api
    from flows.pipelines import plan as plans
    from flows.platform import lifecycle

    spec = located_yaml.read(project.pipeline_file(name), PipelineSpec)
    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the registry is not running, and the plan depends on it", next_step="`modelyard up`")
    with Api(endpoints.mlflow, endpoints.credentials, patience_seconds=2, timeout_seconds=10) as api:
        planned = plans.make(project, spec, api)
    stages = [{"stage": one.stage, "current": one.current, "reasons": list(one.reasons)} for one in planned.stages]
    return {"dataset": spec.dataset, "current": planned.current, "stages": stages}


def quality(project: Project, name: str) -> Document:
    """Answers, latency and live quality of a model, hour by hour."""
    log = project.predictions(name)
    if not log.is_dir():
        return {"hours": [], "left_out": 0, "logged": False}
    from components.monitoring import hourly

    found = hourly.hourly(log)
    return {"hours": [one._asdict() for one in found.hours], "left_out": found.left_out, "logged": True}


def prediction(project: Project, prediction_id: str) -> Document:
    """An answer by its id, in the log of whatever model has it."""
    from components.monitoring import lookup

    folder = project.predictions("any").parent
    for log in sorted(folder.iterdir()) if folder.is_dir() else ():
        if found := lookup.find(log, prediction_id):
            return {"id": prediction_id, "model": log.name, "answers": found}
    return {"id": prediction_id, "model": None, "answers": []}


def revisions(project: Project, dataset: str) -> Document:
    """The versions of a dataset that git knows."""
    from components.versioning import revisions as data_revisions

    found = data_revisions.of(project, dataset)
    return {
        "revisions": [one._asdict() for one in found.revisions],
        "reason": found.reason,
        "complete": found.complete,
    }


def difference(project: Project, dataset: str, before: str, after: str) -> Document:
    """What changed between two versions of a dataset, as `modelyard diff` says. `after` is "" for the data on disk."""
    from components.inspection import difference as differences
    from components.versioning import data_version

    for revision in (before, after):
        if revision.startswith("-"):
            raise UsageError("this is no revision", got=revision[:80])
    found = differences.compare(
        data_version.at_revision(project, dataset, before or "HEAD"),
        data_version.at_revision(project, dataset, after) if after else data_version.on_disk(project, dataset),
    )
    changes = ("relabelled", "moved", "renamed")
    return {**found._asdict(), **{name: [one._asdict() for one in getattr(found, name)] for name in changes}}


def chain(project: Project, model: str, version: str) -> Document:
    """The chain of proof of a version, recomputed, as `modelyard verify MODEL:VERSION` does."""
    from components.provenance import chain as chains
    from components.provenance import target as targets
    from components.registry.api import Api
    from flows.platform import lifecycle

    endpoints = lifecycle.endpoints(project)
    if endpoints is None:
        raise StackError("the registry is not running", next_step="`modelyard up`")
    target = f"{model}:{version}"
    with Api(endpoints.mlflow, endpoints.credentials) as api:
        proofs = [chains.prove(project, target, one, api) for one in targets.artifacts(project, target, api)]
    return {
        "holds": all(proof.holds for proof in proofs),
        "links": [asdict(link) for proof in proofs for link in proof.links],
    }


def disk(project: Project) -> Document:
    """Size and number of what is on the disk, by kind."""
    from flows.retention import inventory

    kinds: dict[str, dict[str, int]] = {}
    for item in inventory.on_disk(project):
        row = kinds.setdefault(item.kind, {"things": 0, "bytes": 0})
        row["things"] += 1
        row["bytes"] += item.bytes
    rows: list[Document] = [{"kind": kind, **row, "collected": True} for kind, row in kinds.items()]
    for kind, folder in (
        ("DVC's cache", project.root / ".dvc" / "cache"),
        ("MLflow", project.state / "mlflow"),
        ("Prefect", project.state / "prefect"),
        ("prediction logs", project.predictions("any").parent),
        ("ledger", project.ledger),
    ):
        sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
        rows.append({"kind": kind, "things": len(sizes), "bytes": sum(sizes), "collected": False})
    return {"kinds": sorted(rows, key=lambda row: -int(row["bytes"]))}


READINGS: dict[str, Callable[..., Document]] = {
    reading.__name__: reading for reading in (plan, quality, prediction, revisions, difference, chain, disk)
}
