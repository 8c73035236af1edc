"""The job variables of a stage in a work pool of Prefect: what the pool's type and its job template take."""

from __future__ import annotations

from typing import Any

from components.contracts.runner_spec import PoolSpec
from components.core.errors import UsageError
from components.deployment.container import TEMPORARY_FOLDER

CODE = "PYTHONPATH"  # the sealed copy, which nobody overrides
OWN_VARIABLES = ("cpus", "memory", "gpus")  # of the template of `modelyard pool create`
# Of this machine's file system: in an image they would name what is not there.
_OF_THIS_MACHINE = ("PATH", "HOME", "USER", "LD_LIBRARY_PATH", "TMPDIR", "MODELYARD_MIRROR", "HF_HOME")
# A worker writes its own settings into a job, where all may read them who may read jobs. None takes them out again: in
# our template a secret's entries are the job's environment.
_CREDENTIALS = ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY", "PREFECT_CLIENT_CUSTOM_HEADERS")
# Of a user whose number has no name and no folder in the image.
_USER = {"USER": "modelyard", "HOME": TEMPORARY_FOLDER, "PREFECT_HOME": f"{TEMPORARY_FOLDER}/prefect"}


def of_job(spec: PoolSpec, pool: dict[str, Any], variables: dict[str, str]) -> dict[str, Any]:
    """The job variables.

    Args:
        pool: as Prefect's API describes it.
        variables: the environment of the job, as of this machine.

    Raises:
        UsageError: the pool has no variable for what is asked for.
    """
    kind = str(pool["type"])
    known = ((pool.get("base_job_template") or {}).get("variables") or {}).get("properties") or {}
    if missing := [name for name in spec.resources if name not in known]:
        raise UsageError(
            f"jobs of this work pool cannot be given {', '.join(missing)}",
            where=f"`run:`, pool {spec.pool}",
            got=f"type {kind}, with the job variables {', '.join(sorted(known)) or 'none'}",
            next_step="a Kubernetes pool with the template of `modelyard pool create` has them; "
            "else leave out cpus, memory_mb and gpus, and use `variables`",
        )
    environment: dict[str, str | None] = dict(variables)
    if kind != "process":  # an image
        environment = {name: value for name, value in environment.items() if name not in _OF_THIS_MACHINE}
    if kind == "kubernetes":
        environment |= _USER
        if spec.cpus is not None:  # a limit that the libraries do not see: they would start a thread for each core
            environment["OMP_NUM_THREADS"] = str(spec.cpus)
        if all(name in known for name in OWN_VARIABLES):
            environment |= dict.fromkeys(_CREDENTIALS)
    environment |= spec.variables.get("env", {})
    return {**spec.resources, **spec.variables, "env": {**environment, CODE: variables[CODE]}}
