"""gc on a running stack: production, its rollback targets and the registry stay whole; what is gone is said to be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from components.registry import tracking
from components.registry.api import MissingError
from components.release import production
from tests.endtoend.releases import Releases
from tests.house import House
from tests.prefect_api import ask
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def releases(house: House) -> Iterator[Releases]:
    releases = Releases(house)
    settings = house.root / "modelyard.toml"
    before = settings.read_text() if settings.exists() else ""
    settings.write_text(before + '\n[retention]\nmin_age_minutes = 0\ncron = "0 4 * * 0"\n')
    with releases.api:
        yield releases
    if before:
        settings.write_text(before)
    else:
        settings.unlink()


@pytest.fixture(scope="module")
def served(releases: Releases) -> str:
    """A pipeline whose versions 1 to 4 have served; 4 serves, in the processes that were started from 1's bundle."""
    name = releases.pipeline("kept")
    for number in ("1", "2", "3", "4"):
        releases.register(name, seed=int(number))
        releases.set(name, number)
        releases.wait_until_serves(name, number)
    return name


def files_hold(house: House, name: str) -> bool:
    """Whether the champion's bundle, package and files in the registry are as sealed (its data is none of a run's)."""
    proof = json.loads(house.run("verify", f"{name}@champion", "--json", check=False).stdout)
    links = [link for link in proof["chains"][0]["links"] if link["name"] in ("bundle", "package", "artifacts")]
    return len(links) >= 3 and all(link["state"] == "ok" for link in links)


def test_what_production_can_go_back_to_stays_and_the_rest_goes(releases: Releases, served: str) -> None:
    house = releases.house
    pins = {pin.version: pin.bundle for pin in production.pins(releases.entries(served)).values()}
    folders = {number: house.project.bundles / "bentos" / tag.replace(":", "/") for number, tag in pins.items()}
    assert all(folder.exists() for folder in folders.values())
    plan = house.json("gc", "--plan", "--keep", "1")
    assert plan["removed"] == []
    assert all(folder.exists() for folder in folders.values())
    rows = {row["name"]: row for row in plan["plan"] if row["kind"] == "bundle"}
    stays = {number: rows[tag]["why"] for number, tag in pins.items() if not rows[tag]["removable"]}
    assert stays.keys() == {"1", "3", "4"}
    assert stays["1"] == f"the service {served} runs from it"
    done = house.json("gc", "--yes", "--keep", "1")
    assert pins["2"] in {row["name"] for row in done["removed"]}
    assert [number for number, folder in folders.items() if not folder.exists()] == ["2"]
    assert releases.serves(served) == "4"
    assert "removed by gc on" in house.run("verify", pins["2"], check=False).stdout
    assert files_hold(house, served)
    house.run("history", served, "--verify")
    house.run("rollback", served)
    releases.wait_until_serves(served, "3")
    # What was removed can serve again: it is built anew from the registry's package.
    releases.set(served, "2")
    releases.wait_until_serves(served, "2")


def plots(releases: Releases, run: tracking.Run) -> list[str]:
    """The names of a run's plots, wherever MLflow keeps artifacts."""
    folder = {"path": f"{run.experiment}/{run.id}/artifacts/plots"}
    with releases.house.client(releases.house.mlflow(), timeout=60) as client:
        answer = client.get("/api/2.0/mlflow-artifacts/artifacts", params=folder).raise_for_status()
    return [file["path"] for file in answer.json().get("files", [])]


def test_of_deleted_runs_those_go_that_no_version_rests_on(releases: Releases, served: str) -> None:
    house, api = releases.house, releases.api
    useless = tracking.ensure(api, "spare", "e" * 64, {})
    api.upload(useless.artifact_uri, "plots/curve.png", b"x" * 200_000)
    run_id = api.get("model-versions/get", name=served, version="3")["model_version"]["run_id"]
    for run in (useless.id, run_id):
        api.post("runs/delete", {"run_id": run})
    assert plots(releases, useless) == ["curve.png"]
    done = house.json("gc", "--yes", timeout=600)
    rows = {row["name"]: row for row in done["plan"] if row["kind"] == "mlflow-run"}
    assert rows[useless.id]["bytes"] >= 200_000
    assert f"{served} version 3 rests on it" in rows[run_id]["why"]
    assert useless.id in {row["name"] for row in done["removed"]}, done["failed"]
    assert plots(releases, useless) == []
    with pytest.raises(MissingError):
        tracking.by_id(api, useless.id)
    api.post("runs/restore", {"run_id": run_id})
    assert files_hold(house, served)


def test_the_stack_collects_by_itself(releases: Releases, served: str) -> None:
    house = releases.house
    scheduled = {row["pipeline"]: row for row in house.json("schedule")}
    assert scheduled["retention"]["cron"] == "0 4 * * 0"
    leftover = house.project.state / "requests" / "gates-left.json"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_text("{}")
    os.utime(leftover, (time.time() - 5 * 86_400,) * 2)
    services = {service["name"]: service for service in house.json_of_status()}
    url = f"{services['prefect']['url']}/api"
    deployment = ask(house, "GET", f"{url}/deployments/name/retention/retention")
    run = ask(house, "POST", f"{url}/deployments/{deployment['id']}/create_flow_run", {})["id"]

    def ended() -> bool:
        return ask(house, "GET", f"{url}/flow_runs/{run}")["state"]["type"] in ("COMPLETED", "FAILED", "CRASHED")

    eventually(ended, "gc has run", 180)
    assert ask(house, "GET", f"{url}/flow_runs/{run}")["state"]["type"] == "COMPLETED"
    assert not leftover.exists()
    assert releases.serves(served) is not None
    house.run("unschedule")
    ask(house, "GET", f"{url}/deployments/name/retention/retention", missing=True)
