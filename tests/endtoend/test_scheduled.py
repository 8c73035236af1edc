"""A scheduled pipeline runs in the stack's runner, as it does from the command line."""

from __future__ import annotations

import time

import pytest

from flows.platform import connections, taken_runs
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
    taken = {"state": {"type": "PENDING", "name": "Submitting"}}  # as a runner leaves it that is killed now
    run = ask(house, "POST", f"{api}/deployments/{deployment['id']}/create_flow_run", taken)["id"]
    with connections.client(connections.credentials(house.project), api) as client:
        pool = connections.shared_name(house.project)
        assert taken_runs.put_back(client, pool) == []  # a runner that lives may begin it yet
        assert taken_runs.put_back(client, pool, most_seconds=0) == [run]
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
