from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from components.contracts.runner_spec import PoolSpec
from components.core.errors import UsageError
from components.deployment import job_template
from components.deployment.job_template import JobTemplateOptions
from flows.runners import pool_variables

HERE = {
    "PYTHONPATH": "/shared/code", "PATH": "/here/bin", "HOME": "/here", "MODELYARD_MIRROR": "/data",
    "OMP_NUM_THREADS": "16", "LANG": "C.UTF-8",
}  # fmt: skip
TEMPLATE = job_template.of_kubernetes(JobTemplateOptions(f"modelyard@sha256:{'12' * 32}", 1034, 1034))
CLUSTER = {"type": "kubernetes", "base_job_template": TEMPLATE}


def spec(**settings: Any) -> PoolSpec:
    return PoolSpec(runner="pool", pool="machines", **settings)


def test_a_process_gets_the_environment_of_this_machine() -> None:
    assert pool_variables.of_job(spec(), {"type": "process"}, HERE) == {"env": HERE}


def test_a_job_of_kubernetes_gets_no_path_of_this_machine_and_no_credentials() -> None:
    found = pool_variables.of_job(spec(cpus=4, memory_mb=32000, gpus=1), CLUSTER, HERE)
    assert {name: found[name] for name in ("cpus", "memory", "gpus")} == {
        "cpus": "4", "memory": "32000Mi", "gpus": "1"
    }  # fmt: skip
    assert found["env"] == {
        "PYTHONPATH": "/shared/code", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "4", "USER": "modelyard", "HOME": "/tmp",
        "PREFECT_HOME": "/tmp/prefect", "PREFECT_API_AUTH_STRING": None, "PREFECT_API_KEY": None,
        "PREFECT_CLIENT_CUSTOM_HEADERS": None,
    }  # fmt: skip


def test_variables_of_the_pipeline_come_last_but_the_code_stays_ours() -> None:
    asked = spec(variables={"namespace": "team", "env": {"MODELYARD_MIRROR": "/mirror", "PYTHONPATH": "/other"}})
    found = pool_variables.of_job(asked, CLUSTER, HERE)
    assert found["namespace"] == "team"
    assert found["env"]["MODELYARD_MIRROR"] == "/mirror"
    assert found["env"]["PYTHONPATH"] == "/shared/code"


def test_another_template_keeps_its_own_way_with_credentials() -> None:
    pool = {"type": "kubernetes", "base_job_template": {"variables": {"properties": {"image": {}}}}}
    assert "PREFECT_API_KEY" not in pool_variables.of_job(spec(), pool, HERE)["env"]


@pytest.mark.parametrize("pool", [{"type": "process", "base_job_template": {}}, {"type": "kubernetes"}])
def test_what_a_pool_cannot_give_is_refused(pool: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be given cpus, gpus") as caught:
        pool_variables.of_job(spec(cpus=2, gpus=1), pool, HERE)
    assert "modelyard pool create" in str(caught.value)


def test_a_variable_that_is_said_twice_is_refused() -> None:
    with pytest.raises(ValidationError, match="cpus: said twice"):
        spec(cpus=2, variables={"cpus": "3"})
