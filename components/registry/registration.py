"""A sealed package becomes a version of a registered model: the same key always the same version.

Every step can be done again, so a registration killed half-way is finished by the next one. Two that race on one
machine wait for each other (a file lock); on two machines both may create a version, then both see both and keep the
lowest, and the other is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.identity.package import Package
from components.registry import mlmodel, tracking, versions
from components.registry.api import Api, TakenError
from components.registry.tracking import Run
from components.registry.versions import PACKAGE_DIGEST, PACKAGE_KEY, Version


@dataclass(frozen=True)
class Registration:
    """What is to be registered.

    Args:
        name: the registered model; also the pipeline.
        package_key: identity of the package's making; the same key is registered once.
        requirements: what the package needs to answer, pinned, one a line.
        source_root: folder that holds our rooms.
        tags: facts for the version and its run: git commit, lock digest, flow run, ...
    """

    name: str
    package_key: str
    package: Package
    requirements: str
    source_root: Path
    tags: dict[str, str]


def register(api: Api, run: Run, asked: Registration, locks: Path) -> Version:
    """The version of that key: the one there is, or a new one."""
    with _alone(locks / f"register-{asked.name}.lock"):
        found = versions.by_key(api, asked.name, asked.package_key)
        if found is not None:
            return found
        versions.ensure_model(api, asked.name, f"Trained and registered by the pipeline {asked.name}.")
        model = _logged_model(api, run, asked)
        created = versions.create(
            api, asked.name, model["artifact_uri"], run.id, model["model_id"], _tags(asked), _description(asked)
        )
        kept = versions.by_key(api, asked.name, asked.package_key) or created
        if kept.version != created.version:
            versions.delete(api, created)
        return kept


def _logged_model(api: Api, run: Run, asked: Registration) -> dict[str, Any]:
    """MLflow's own record of the model, with its files; one left unfinished by a killed registration is used again."""
    asking = {
        "experiment_ids": [run.experiment],
        "filter": f"tags.`{PACKAGE_KEY}` = '{asked.package_key}'",
        "max_results": 50,
    }
    found = [model["info"] for model in api.pages("POST", "logged-models/search", "models", asking)]
    if found:
        info = min(found, key=lambda model: str(model["model_id"]))
    else:
        body = {
            "experiment_id": run.experiment,
            "name": asked.name,
            "source_run_id": run.id,
            "tags": [{"key": key, "value": value} for key, value in _tags(asked).items()],
        }
        info = api.post("logged-models", body)["model"]["info"]
    if info.get("status") != "LOGGED_MODEL_READY":
        with tempfile.TemporaryDirectory() as folder:
            mlmodel.write(asked.package, Path(folder), asked.source_root, asked.requirements)
            api.upload_folder(info["artifact_uri"], Path(folder))
        with contextlib.suppress(TakenError):  # by one that races with us, or was killed after this
            api.post("runs/outputs", {"run_id": run.id, "models": [{"model_id": info["model_id"], "step": 0}]})
        overall = {f"test/{name}": value for name, value in asked.package.metrics()["overall"].items()}
        tracking.log_metrics(api, run, overall, step=0, model_id=info["model_id"])
        # Ready comes last: it says that all of the above is there.
        body = {"model_id": info["model_id"], "status": "LOGGED_MODEL_READY"}
        api.patch(f"logged-models/{info['model_id']}", body)
    return dict(info)


def _tags(asked: Registration) -> dict[str, str]:
    facts = asked.package.facts
    return {
        PACKAGE_KEY: asked.package_key,
        PACKAGE_DIGEST: asked.package.digest,
        tracking.KEY: facts.train_fingerprint,
        "modelyard.data_digest": facts.data_digest,
        **{f"modelyard.{key}": value for key, value in {**facts.lineage, **asked.tags}.items()},
    }


def _description(asked: Registration) -> str:
    overall = asked.package.metrics()["overall"]
    figures = ", ".join(f"{name} {value:.4f}" for name, value in sorted(overall.items()))
    return (
        f"On the frozen test split: {figures}.\n\n"
        f"Package `{asked.package.digest[:12]}`, trained on data `{asked.package.facts.data_digest[:12]}`."
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
