"""A project whose Prefect and MLflow are somebody else's: plain servers, which `modelyard.toml` names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.access import named_credentials
from components.access.secret import Credentials
from components.contracts.settings import CredentialSource
from components.core import atomic_database
from components.registry import versions
from components.registry.api import Api
from flows.platform import connections, environment, ports
from tests import prefect_api
from tests.house import House
from tests.project_copy import copy_project

pytestmark = pytest.mark.long

READY_SECONDS = 240


@contextmanager
def server(words: list[str], folder: Path, health: str, **variables: str) -> Iterator[None]:
    """A server as its own documentation starts it, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    surroundings = {**os.environ, **environment.QUIET, **variables}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, env=surroundings, stdout=log, stderr=log, start_new_session=True
        )
        try:
            until = time.monotonic() + READY_SECONDS
            while not answers(health):
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < until
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def bring_tables(distribution: str, database: Path) -> None:
    """The empty database that the server would take ten seconds to make, where a stack has left one."""
    template = atomic_database.template_of(distribution)
    atomic_database.create(database, lambda path: path.touch(), template if template.is_file() else None)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, verify=False).is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URLs of a Prefect API and of an MLflow server."""
    folder = tmp_path_factory.mktemp("servers")
    bring_tables("mlflow", folder / "mlflow" / "mlflow.db")
    bring_tables("prefect", folder / "home" / "prefect.db")
    prefect, mlflow = ports.choose(27000, ()), ports.choose(27100, ())
    urls = f"http://127.0.0.1:{prefect}/api", f"http://127.0.0.1:{mlflow}"
    with ExitStack() as during:
        store = ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "./artifacts"]
        words = ["mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(mlflow), "--workers", "1"]
        during.enter_context(server(words, folder / "mlflow", f"{urls[1]}/health"))
        home = {"PREFECT_HOME": str(folder / "home"), "PREFECT_API_URL": urls[0]}
        words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect)]
        during.enter_context(server(words, folder / "prefect", f"{urls[0]}/health", **home))
        yield urls


@pytest.fixture(scope="module")
def team(servers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A project that uses these servers."""
    house = House(tmp_path_factory.mktemp("team") / "project")
    copy_project(house.root)
    (house.root / "modelyard.toml").write_text(
        f'[connections]\nprefect = "{servers[0]}"\nmlflow = "{servers[1]}"\n', encoding="utf-8"
    )
    try:
        yield house
    finally:
        house.run("down", check=False)


def test_credentials_are_read_from_a_secret_block_of_prefects_own_client(team: House, servers: tuple[str, str]) -> None:
    words = "from prefect.blocks.system import Secret; Secret(value='mara:sesame').save('registry-login')"
    made = {**os.environ, **environment.QUIET, "PREFECT_API_URL": servers[0]}
    subprocess.run([sys.executable, "-c", words], env=made, check=True)
    source = CredentialSource(prefect_secret="registry-login")  # noqa: S106  # the name of a block
    found = named_credentials.read(team.root, "mlflow", source, "MODELYARD_MLFLOW_CREDENTIALS")
    assert found == Credentials("mara", "sesame")


@pytest.mark.timeout(900)
def test_registration_and_schedules_go_to_the_existing_servers(team: House, servers: tuple[str, str]) -> None:
    name = team.pipeline("digits", train={"epochs": 1}, gates={})
    said = team.run("run", name, timeout=400).stderr
    assert "starting" not in said  # nothing of this project's own is needed
    assert "starting the runner, side by side" in team.run("up", timeout=400).stderr
    with Api(servers[1]) as api:
        assert [version.version for version in versions.versions(api, name)] == ["1"]
        [version] = versions.versions(api, name)
        package = versions.download(api, version, team.root / "fetched")
    assert package.digest == version.package_digest
    shown = json.loads(team.run("status", "--json", check=False).stdout)
    rows = {row["name"]: row for row in shown["services"]}
    assert {name: row["is_own"] for name, row in rows.items()} == {
        "prefect": False, "mlflow": False, "runner": True, "controller": True, "console": True,
    }  # fmt: skip
    assert rows["mlflow"]["state"] == rows["prefect"]["state"] == "ready"
    assert rows["mlflow"]["detail"] == "named by modelyard.toml"
    assert not (team.project.state / "mlflow" / "mlflow.db").exists()
    assert team.run("open", "mlflow").stdout.strip() == servers[1]
    [finding] = [one for one in team.json("doctor") if one["check"] == "connections"]
    assert servers[0] in finding["found"]

    pool = connections.shared_name(team.project)
    assert pool.startswith("modelyard-")
    nightly = team.pipeline("nightly", train={"epochs": 1, "seed": 7}, gates={})
    patient = prefect_api.Patient(verify=False)
    with httpx.Client(base_url=servers[0], transport=patient, trust_env=False, timeout=60) as prefect:
        team.run("schedule", nightly)
        [deployment] = ask(prefect, "/deployments/filter", {})
        assert (deployment["name"], deployment["work_pool_name"]) == (f"nightly ({pool})", pool)
        run = ask(prefect, f"/deployments/{deployment['id']}/create_flow_run", {})["id"]
        until = time.monotonic() + 240
        state: dict[str, Any] = {}
        while time.monotonic() < until:
            state = prefect.get(f"/flow_runs/{run}").json()["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                break
            time.sleep(0.5)
        assert state["type"] == "COMPLETED", state
        team.run("unschedule", nightly)
        assert ask(prefect, "/deployments/filter", {}) == []
    with Api(servers[1]) as api:
        assert [version.version for version in versions.versions(api, "nightly")] == ["1"]


def ask(prefect: httpx.Client, path: str, body: object) -> Any:
    return prefect.post(path, json=body).raise_for_status().json()
