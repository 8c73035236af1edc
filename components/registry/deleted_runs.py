"""Runs that a person deleted in MLflow: MLflow hides them and keeps everything, until `mlflow gc` removes them.

`mlflow gc` does not look at registered models: a version whose run was deleted would lose its files. So it is asked
here which deleted runs a version rests on, before anything is removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import RegistryError
from components.core.project import Project
from components.registry import versions
from components.registry.api import Api, MissingError
from components.registry.server import DATABASE
from components.registry.versions import Version

TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class DeletedRun:
    """A deleted run.

    Args:
        ended: when it ended, or began, seconds since 1970.
        needed_by: the registered version that rests on it; None: no version does.
        folder: its files in the project's own MLflow.
    """

    id: str
    experiment: str
    ended: float
    needed_by: str | None
    folder: Path


@dataclass(frozen=True)
class DeletedRuns:
    """All deleted runs.

    Args:
        unsafe: why `mlflow gc` would take files of a registered version along; None: it would not.
    """

    runs: tuple[DeletedRun, ...]
    unsafe: str | None


def find(project: Project, api: Api) -> DeletedRuns:
    """The deleted runs of the project's own MLflow.

    Raises:
        RegistryError: it does not answer.
    """
    experiments = list(
        api.pages("POST", "experiments/search", "experiments", {"max_results": 1000, "view_type": "ALL"})
    )
    ids = [str(experiment["experiment_id"]) for experiment in experiments]
    asked = {"experiment_ids": ids, "run_view_type": "DELETED_ONLY", "max_results": 1000}
    documents = [run["info"] for run in api.pages("POST", "runs/search", "runs", asked)] if ids else []
    if not documents:
        return DeletedRuns((), None)
    registered = versions.all_versions(api)
    needed = {version.run_id: f"{version.name} version {version.version}" for version in registered}
    runs = tuple(
        DeletedRun(
            id=str(info["run_id"]),
            experiment=str(info["experiment_id"]),
            ended=int(info.get("end_time") or info.get("start_time") or 0) / 1000,
            needed_by=needed.get(str(info["run_id"])),
            folder=project.state / "mlflow" / "artifacts" / str(info["experiment_id"]) / str(info["run_id"]),
        )
        for info in documents
    )
    gone = {str(one["experiment_id"]) for one in experiments if one.get("lifecycle_stage") == "deleted"}
    lost = next((run.needed_by for run in runs if run.needed_by and run.experiment in gone), None)
    lost = lost or next((named for version in registered if (named := _without_its_model(api, version))), None)
    return DeletedRuns(runs, None if lost is None else f"what {lost} rests on was deleted in MLflow: restore it there")


def remove(project: Project, api: Api, ids: list[str], environment: Mapping[str, str]) -> None:
    """Have MLflow remove runs for good, in a process of its own, beside the running server.

    Args:
        environment: with MLFLOW_TRACKING_URI and what the server asks for: MLflow removes files through it.

    Raises:
        RegistryError: `mlflow gc` failed.
    """
    home = project.state.relative_to(project.root) / "mlflow"
    words = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", f"sqlite:///{home / DATABASE}"]
    words += ["--artifacts-destination", f"./{home / 'artifacts'}", "--run-ids", ",".join(ids)]
    variables = {**os.environ, **environment, "MLFLOW_TRACKING_URI": api.url}
    if api.credentials is not None:
        variables |= {
            "MLFLOW_TRACKING_USERNAME": api.credentials.user or "modelyard",
            "MLFLOW_TRACKING_PASSWORD": api.credentials.secret,
        }
    done = subprocess.run(
        words, cwd=project.root, env=variables, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        raise RegistryError(
            "`mlflow gc` failed",
            where=api.url,
            got=(done.stderr or done.stdout).strip()[-500:],
            next_step="what it had removed stays removed; the next `modelyard gc` tries the rest again",
        )


def _without_its_model(api: Api, version: Version) -> str | None:
    """A version whose logged model was deleted, in words."""
    if not version.source.startswith("models:/m-"):
        return None
    try:
        api.get(f"logged-models/{version.source.removeprefix('models:/')}")
    except MissingError:
        return f"{version.name} version {version.version}"
    return None
