"""The environment variables of every Modelyard process: telemetry off, no proxies, this interpreter first in PATH."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from components.core import outward
from components.core.errors import NotFoundError
from components.core.project import Project
from flows.platform.user_name import user_name

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # MLflow accepts no other value
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "DVC_NO_ANALYTICS": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",  # a library of DVC's
    "ORT_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_MODEL_CATALOG_URI": "",  # else pages of MLflow fetch lists of language models from its releases
    "PYTHONUTF8": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",  # DDP warns of what we ask for, in C++; what Python code does wrong is still said
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning take the cores from the servers beside a training
}


def quiet(environment: MutableMapping[str, str]) -> None:
    """Turn off every dependency's telemetry, set proxies aside, and put this interpreter's programs first in PATH.

    Requests to servers on this machine must not use a proxy (`outward` keeps proxies for downloads). `dvc` runs the
    stages' `python -m ...` through PATH, so they use this interpreter.
    """
    environment.update(QUIET)
    outward.set_aside(environment)
    _set_user_and_home(environment)
    programs = str(Path(sys.executable).parent)
    path = environment.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != programs:
        environment["PATH"] = os.pathsep.join([programs, path])


def _set_user_and_home(environment: MutableMapping[str, str]) -> None:
    """Set LOGNAME and HOME for a user id without a name or a writable home: MLflow, torch and DVC need them."""
    if not {"LOGNAME", "USER"} & environment.keys() and (name := user_name()).startswith("uid "):
        environment["LOGNAME"] = name
    home = Path(environment.get("HOME") or "")
    if not environment.get("HOME"):
        with suppress(RuntimeError):  # no HOME, and no such user
            home = Path("~").expanduser()
    if home.is_absolute() and home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return
    with suppress(NotFoundError):
        own = Project.find().state / "home"
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment["HOME"] = str(own)


def of_project(project: Project) -> dict[str, str]:
    """Variables that keep the state of Prefect and BentoML inside the project's folder."""
    return {
        "MODELYARD_PROJECT": str(project.root),
        "PREFECT_HOME": str(project.state / "prefect"),
        "BENTOML_HOME": str(project.state / "bentoml"),
    }


def find_tasks(path: list[str]) -> None:
    """Append the project's folder to the import path, so that the user's own tasks and networks can be imported."""
    with suppress(NotFoundError):
        root = str(Project.find().root)
        if root not in path:
            path.append(root)
