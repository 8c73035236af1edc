"""Where the project's own MLflow keeps artifacts: a folder of the project, or what `[servers] artifacts` names."""

from __future__ import annotations

import importlib.util

from components.contracts import settings
from components.core.errors import StackError
from components.core.project import Project
from components.identity import remote_artifact_store


def of(project: Project) -> str:
    """The destination for MLflow's server: a folder relative to the project's, or a URL.

    Raises:
        SpecError: `modelyard.toml` is wrong.
        StackError: there is no library for the URL.
    """
    named = settings.read(project.root).servers.artifacts
    if named is None:
        return f"./{project.state.relative_to(project.root) / 'mlflow' / 'artifacts'}"
    if named.startswith("s3://") and importlib.util.find_spec("boto3") is None:
        raise StackError(
            "MLflow has no library for this kind of URL",
            where=f"{settings.FILE_NAME}: servers.artifacts",
            got=named,
            expected="the package boto3",
            next_step=f"{remote_artifact_store.install_command('boto3', 's3fs')}: together, as they need one botocore",
        )
    return named
