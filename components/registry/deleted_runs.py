"""Runs that a person deleted in MLflow: MLflow hides them and keeps their files, until `mlflow gc` removes them.

`mlflow gc` ignores registered models: a version whose run was deleted would lose its files. So this module finds the
deleted runs that a version needs before any run is removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from components.core.errors import RegistryError
from components.core.project import Project
from components.registry import artifact_destination, versions
from components.registry.api import Api, MissingError
from components.registry.server import ARTIFACTS, store_of
from components.registry.versions import Version

TIMEOUT_SECONDS = 600.0
_STORE = "MODELYARD_REGISTRY_STORE"
# `mlflow gc` takes the URL of the database, with its password, as an argument, and other users of a machine see those.
_GC = f"import os, sys; from mlflow.cli import cli; cli([*sys.argv[1:], '--backend-store-uri', os.environ['{_STORE}']])"


@dataclass(frozen=True)
class DeletedRun:
    """A deleted run.

    Args:
        ended: time of its end, or else of its start, seconds since 1970.
        needed_by: the registered version that was made by the run; None: there is none.
        bytes: size of its files.
    """

    id: str
    experiment: str
    ended: float
    needed_by: str | None
    bytes: int


@dataclass(frozen=True)
class DeletedRuns:
    """All deleted runs.

    Args:
        unsafe: why `mlflow gc` would remove files of a registered version; None: it would not.
    """

    runs: tuple[DeletedRun, ...]
    unsafe: str | None


def find(project: Project, api: Api) -> DeletedRuns:
    """The deleted runs of the project's own MLflow.

    Raises:
        RegistryError: MLflow does not answer.
    """
    experiments = list(
        api.pages("POST", "experiments/search", "experiments", {"max_results": 1000, "view_type": "ALL"})
    )
    ids = [str(experiment["experiment_id"]) for experiment in experiments]
    request = {"experiment_ids": ids, "run_view_type": "DELETED_ONLY", "max_results": 1000}
    documents = [run["info"] for run in api.pages("POST", "runs/search", "runs", request)] if ids else []
    if not documents:
        return DeletedRuns((), None)
    registered = versions.all_versions(api)
    versions_by_run = {version.run_id: f"{version.name} version {version.version}" for version in registered}
    runs = tuple(
        DeletedRun(
            id=str(info["run_id"]),
            experiment=str(info["experiment_id"]),
            ended=int(info.get("end_time") or info.get("start_time") or 0) / 1000,
            needed_by=versions_by_run.get(str(info["run_id"])),
            bytes=_bytes(api, str(info["artifact_uri"])),
        )
        for info in documents
    )
    deleted_experiments = {
        str(experiment["experiment_id"]) for experiment in experiments if experiment.get("lifecycle_stage") == "deleted"
    }
    unsafe_version = next(
        (run.needed_by for run in runs if run.needed_by and run.experiment in deleted_experiments), None
    )
    unsafe_version = unsafe_version or next(
        (name for version in registered if (name := _if_model_deleted(api, version))), None
    )
    return DeletedRuns(
        runs,
        None if unsafe_version is None else f"what {unsafe_version} rests on was deleted in MLflow: restore it there",
    )


def _bytes(api: Api, artifact_uri: str) -> int:
    """The size of a run's files, wherever MLflow keeps them; 0 of a run whose files only its own client reaches."""
    return api.artifact_bytes(artifact_uri) if artifact_uri.startswith(ARTIFACTS) else 0


def remove(project: Project, api: Api, ids: list[str], environment: Mapping[str, str]) -> None:
    """Remove deleted runs with `mlflow gc`, in a subprocess, while the server runs.

    Args:
        environment: variables that MLflow needs to remove files through the server.

    Raises:
        RegistryError: `mlflow gc` failed.
    """
    command = [
        sys.executable,
        "-c",
        _GC,
        "gc",
        "--artifacts-destination",
        artifact_destination.of(project),
        "--run-ids",
        ",".join(ids),
    ]
    variables = {**os.environ, **environment, "MLFLOW_TRACKING_URI": api.url, _STORE: store_of(project)}
    if api.credentials is not None:
        variables |= {
            "MLFLOW_TRACKING_USERNAME": api.credentials.user or "modelyard",
            "MLFLOW_TRACKING_PASSWORD": api.credentials.secret,
        }
    result = subprocess.run(
        command, cwd=project.root, env=variables, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    if result.returncode != 0:
        raise RegistryError(
            "`mlflow gc` failed",
            where=api.url,
            got=(result.stderr or result.stdout).strip()[-500:],
            next_step="what it had removed stays removed; the next `modelyard gc` tries the rest again",
        )


def _if_model_deleted(api: Api, version: Version) -> str | None:
    """Name and number of a version whose logged model was deleted; None if it exists."""
    if not version.source.startswith("models:/m-"):
        return None
    try:
        api.get(f"logged-models/{version.source.removeprefix('models:/')}")
    except MissingError:
        return f"{version.name} version {version.version}"
    return None
