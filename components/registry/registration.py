"""Register a sealed package as a version of a registered model; the same key always gives the same version.

Every step is idempotent, so the next registration completes one that was killed. Concurrent registrations on one
machine wait for a file lock; on two machines both may create a version: both then keep the lowest and delete the other.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.core import file_lock
from components.evaluation import baseline_figures
from components.identity.package import Package
from components.registry import mlmodel, tracking, versions
from components.registry.api import Api, TakenError
from components.registry.tracking import Run
from components.registry.versions import PACKAGE_DIGEST, PACKAGE_KEY, Version


@dataclass(frozen=True)
class Registration:
    """A package to register.

    Args:
        name: name of the registered model and of the pipeline.
        package_key: fingerprint of the package; a key is registered once.
        requirements: pinned requirements of the package, one on each line.
        source_root: folder that contains the package `components`.
        tags: facts for the version and its run: git commit, lock digest, flow run, ...
    """

    name: str
    package_key: str
    package: Package
    requirements: str
    source_root: Path
    tags: dict[str, str]


def register(api: Api, run: Run, registration: Registration, locks: Path) -> Version:
    """Return the version of the key, or create it."""
    with file_lock.locked(locks / f"register-{registration.name}.lock", f"another registration of {registration.name}"):
        existing = versions.by_key(api, registration.name, registration.package_key)
        if existing is not None:
            return existing
        versions.ensure_model(api, registration.name, f"Trained and registered by the pipeline {registration.name}.")
        model = _logged_model(api, run, registration)
        created = versions.create(
            api,
            registration.name,
            model["artifact_uri"],
            run.id,
            model["model_id"],
            _tags(registration),
            _description(registration),
        )
        kept = versions.by_key(api, registration.name, registration.package_key) or created
        if kept.version != created.version:
            versions.delete(api, created)
        return kept


def _logged_model(api: Api, run: Run, registration: Registration) -> dict[str, Any]:
    """MLflow's logged model with its files; an incomplete one of a killed registration is completed."""
    search = {
        "experiment_ids": [run.experiment],
        "filter": f"tags.`{PACKAGE_KEY}` = '{registration.package_key}'",
        "max_results": 50,
    }
    models = [model["info"] for model in api.pages("POST", "logged-models/search", "models", search)]
    if models:
        info = min(models, key=lambda model: str(model["model_id"]))
    else:
        body = {
            "experiment_id": run.experiment,
            "name": registration.name,
            "source_run_id": run.id,
            "tags": [{"key": key, "value": value} for key, value in _tags(registration).items()],
        }
        info = api.post("logged-models", body)["model"]["info"]
    if info.get("status") != "LOGGED_MODEL_READY":
        with tempfile.TemporaryDirectory() as folder:
            mlmodel.write(registration.package, Path(folder), registration.source_root, registration.requirements)
            api.upload_folder(info["artifact_uri"], Path(folder))
        with contextlib.suppress(TakenError):  # by a concurrent registration, or by one that was killed after this
            api.post("runs/outputs", {"run_id": run.id, "models": [{"model_id": info["model_id"], "step": 0}]})
        overall = {f"test/{name}": value for name, value in registration.package.metrics()["overall"].items()}
        tracking.log_metrics(api, run, overall, step=0, model_id=info["model_id"])
        # READY is set last: it means that all of the above is complete.
        body = {"model_id": info["model_id"], "status": "LOGGED_MODEL_READY"}
        api.patch(f"logged-models/{info['model_id']}", body)
    return dict(info)


def _tags(registration: Registration) -> dict[str, str]:
    facts = registration.package.facts
    return {
        PACKAGE_KEY: registration.package_key,
        PACKAGE_DIGEST: registration.package.digest,
        tracking.KEY: facts.train_fingerprint,
        "modelyard.data_digest": facts.data_digest,
        **{f"modelyard.{key}": value for key, value in {**facts.lineage, **registration.tags}.items()},
    }


def _description(registration: Registration) -> str:
    overall = registration.package.metrics()["overall"]
    figures = ", ".join(f"{name} {value:.4f}" for name, value in sorted(overall.items()))
    beside = baseline_figures.of_package(registration.package)
    baseline = "" if beside is None else f"{beside.sentence()}.\n\n"
    return (
        f"On the frozen test split: {figures}.\n\n"
        f"{baseline}"
        f"Package `{registration.package.digest[:12]}`, "
        f"trained on data `{registration.package.facts.data_digest[:12]}`."
    )
