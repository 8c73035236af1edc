"""The tools' own commands, as a user would type them beside a running stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows import environment
from tests.house import House

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "command",
    [
        "prefect deployment ls",
        "prefect work-pool ls",
        "prefect flow ls",
        "prefect flow-run ls",
        "mlflow experiments search",
        "dvc status",
        "dvc remote list",
        "bentoml list",
    ],
)
def test_a_tools_own_command_works_beside_our_stack(house: House, command: str) -> None:
    urls = {service["name"]: str(service["url"]) for service in house.json_of_status()}
    variables = {**house.environment, **environment.of_project(house.project)}
    environment.quiet(variables)
    variables |= {"PREFECT_API_URL": f"{urls['prefect']}/api", "MLFLOW_TRACKING_URI": urls["mlflow"]}
    program, *words = command.split()
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *words],
        cwd=house.root,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
