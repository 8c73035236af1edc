"""A scheduled pipeline runs in the stack's runner, as it does from the command line."""

from __future__ import annotations

import time

import pytest

from tests.house import House
from tests.prefect_api import ask


@pytest.mark.slow
def test_the_runner_executes_the_deployment(house: House) -> None:
    name = house.pipeline("nightly", train={"epochs": 1, "seed": 31}, gates={})
    house.run("schedule", name)
    services = {service["name"]: service for service in house.json_of_status()}
    api = f"{services['prefect']['url']}/api"
    deployment = ask(house, "GET", f"{api}/deployments/name/pipeline/{name}")
    assert deployment["schedules"][0]["schedule"]["cron"] == "0 3 * * *"
    run = ask(house, "POST", f"{api}/deployments/{deployment['id']}/create_flow_run", {})["id"]
    until = time.monotonic() + 150
    while time.monotonic() < until:
        state = ask(house, "GET", f"{api}/flow_runs/{run}")["state"]
        if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            break
        time.sleep(0.5)
    assert state["type"] == "COMPLETED", state
    assert [row["version"] for row in house.json("models") if row["name"] == name] == ["1"]
    house.run("unschedule", name)
    ask(house, "GET", f"{api}/deployments/name/pipeline/{name}", missing=True)
