"""A whole stack whose people log in: trained by one, promoted by another, refused to who may not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from components.release import ledger as ledgers
from components.release.ledger import Entry
from flows.platform import connections
from tests.house import COMMAND, House
from tests.project_copy import running_copy
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

NAME = "ours"
PASSWORDS = {"ann": "ann: trains models", "mara": "mara's own password"}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    def with_people(root: Path) -> None:
        with (root / "modelyard.toml").open("a") as settings:
            settings.write("\n[people]\nenabled = true\n")

    with running_copy(tmp_path_factory.mktemp("people") / "project", with_people) as house:
        path = house.project.pipeline_file(house.pipeline(NAME, train={"epochs": 2}, gates={}, schedule=None))
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "gates": {"champion": None}}))
        for user, password in PASSWORDS.items():
            done = subprocess.run(
                [*COMMAND, "people", "add", user, "--may", "train"],
                cwd=house.root, env=house.environment, input=f"{password}\n{password}\n", text=True,
                capture_output=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
        yield house


def _as(house: House, user: str | None, *words: str) -> subprocess.CompletedProcess[str]:
    """One command by a user who logs in as MLflow's own clients do."""
    login = {} if user is None else {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": PASSWORDS[user]}
    return subprocess.run(
        [*COMMAND, *words], cwd=house.root, env={**house.environment, **login},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def _entries(house: House) -> list[Entry]:
    return ledgers.of(house.project, NAME).entries()


def _last(house: House, event: str, user: str) -> Entry:
    """The last entry of this event that was asked for by a user."""

    def found() -> Entry | None:
        return next((one for one in reversed(_entries(house)) if (one.event, one.asked_by) == (event, user)), None)

    return eventually(found, f"{event} by {user}", 180)


def _serves(house: House, version: str) -> None:
    """Wait until the last release that mara asked for ended with this version."""

    def found() -> bool:
        after = _last(house, "served", "mara").after
        return after is not None and after.version == version

    eventually(found, f"version {version} serves", 180)


def _flow_runs(house: House) -> list[dict[str, Any]]:
    with house.client(connections.configured(house.project).prefect_api, timeout=60) as client:
        runs: list[dict[str, Any]] = client.post("/flow_runs/filter", json={}).raise_for_status().json()
    return runs


def test_one_trains_and_another_promotes(team: House, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = _as(team, None, "run", NAME)
    assert refused.returncode != 0
    assert "MLFLOW_TRACKING_USERNAME" in refused.stderr
    done = _as(team, "ann", "run", NAME)
    assert done.returncode == 0, done.stderr
    assert "by: ann" in {tag for run in _flow_runs(team) for tag in run["tags"]}

    granted = team.run("people", "grant", "mara", "--may", "promote", "--model", NAME)
    assert "mara" in granted.stdout + granted.stderr
    rows = {person["name"]: person for person in team.json("people")}
    assert {"ann", "mara"} <= set(rows)

    url = team.mlflow()
    for name, value in (("USERNAME", "ann"), ("PASSWORD", PASSWORDS["ann"])):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    ann = MlflowClient(url, url)
    assert ann.get_model_version(NAME, "1").tags["modelyard.trained_by"] == "ann"
    ann.set_registered_model_alias(NAME, "champion", "1")
    entry = _last(team, "refused", "ann")
    assert "needs MANAGE" in str(entry.facts)
    eventually(lambda: "champion" not in ann.get_registered_model(NAME).aliases, "the alias is set back")
    assert "needs MANAGE" in team.run("history", NAME).stdout

    without_right = _as(team, "ann", "promote", NAME, "1")
    assert without_right.returncode != 0
    assert "MANAGE" in without_right.stderr
    promoted = _as(team, "mara", "promote", NAME, "1")
    assert promoted.returncode == 0, promoted.stderr
    _serves(team, "1")

    assert _as(team, "ann", "run", NAME, "--set", "train.seed=7").returncode == 0
    for name, value in (("USERNAME", "mara"), ("PASSWORD", PASSWORDS["mara"])):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    MlflowClient(url, url).set_registered_model_alias(NAME, "champion", "2")
    _serves(team, "2")

    assert _as(team, "ann", "rollback", NAME).returncode != 0
    back = _as(team, "mara", "rollback", NAME)
    assert back.returncode == 0, back.stderr
    _serves(team, "1")
