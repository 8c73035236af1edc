"""Who asked for a release stands in the ledger: by the UI's cookie, by command, by MLflow's own client."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from components.access import peer
from components.registry import alias_notes
from components.release.ledger import Entry
from tests.endtoend.releases import Releases
from tests.house import House

pytestmark = pytest.mark.slow

NAME = "whose"
OWN = f"user id {os.getuid()} of the connection"


@pytest.fixture(scope="module")
def releases(house: House) -> Iterator[Releases]:
    found = Releases(house)
    with found.api:
        found.pipeline(NAME)
        for seed in (1, 2):
            found.register(NAME, seed=seed)
        yield found
        found.clear(NAME)  # so its service stops


@pytest.fixture
def ui(house: House, releases: Releases) -> Iterator[httpx.Client]:
    """MLflow as its UI asks it: with the cookie that the link gave, and with an origin."""
    link = house.json("open", "mlflow")["link"]
    url = releases.api.url
    with httpx.Client(base_url=url, headers={"Origin": url}, trust_env=False, verify=False, timeout=60) as client:
        client.get(link).raise_for_status()
        yield client


def by_ui(ui: httpx.Client, version: str) -> None:
    body = {"name": NAME, "alias": "champion", "version": version}
    ui.post("/ajax-api/2.0/mlflow/registered-models/alias", json=body).raise_for_status()


def asked(releases: Releases, version: str) -> Entry:
    """What the ledger says of the last request, once production has followed."""
    releases.wait_until_serves(NAME, version)
    entry = next(entry for entry in reversed(releases.entries(NAME)) if entry.event == "asked")
    assert entry.after is not None
    assert entry.after.version == version
    assert entry.asked_by == peer.name_of(os.getuid())
    return entry


def test_command_and_ui_are_known_and_a_note_counts_once(house: House, releases: Releases, ui: httpx.Client) -> None:
    house.run("promote", NAME, "1")
    first = asked(releases, "1")
    assert first.facts["known_by"] == f"secret, {OWN}"
    assert first.facts["how"] == f"modelyard promote {NAME} 1"
    assert first.facts["claimed"] == peer.name_of(os.getuid())
    by_ui(ui, "2")
    assert asked(releases, "2").facts["how"] == "the MLflow UI"
    by_ui(ui, "1")
    last = asked(releases, "1")
    assert last.facts["how"] == "the MLflow UI"
    assert last.facts["known_by"] == f"cookie, {OWN}"
    assert last.facts["claimed"] is None
    assert last.facts["alias_note"] != first.facts["alias_note"]
    assert alias_notes.read(house.project, NAME, "champion") is None


def test_mlflows_own_client_is_known_by_the_secret(house: House, releases: Releases) -> None:
    script = f"from mlflow import MlflowClient; MlflowClient().set_registered_model_alias('{NAME}', 'champion', '2')"
    env = f"{shlex.quote(sys.executable)} -m flows.cli env"
    subprocess.run(
        ["/bin/sh", "-c", f'eval "$({env})"; exec python -W ignore -c {shlex.quote(script)}'],
        cwd=house.root, env=house.environment, check=True, capture_output=True,
    )  # fmt: skip
    entry = asked(releases, "2")
    assert entry.facts["known_by"] == f"secret, {OWN}"
    assert entry.facts["how"] == "MLflow's API"
    assert entry.facts["claimed"] == peer.name_of(os.getuid())


def test_a_refused_change_leaves_no_note(house: House, releases: Releases, ui: httpx.Client) -> None:
    body = {"name": NAME, "alias": "champion", "version": "99"}
    answer = ui.post("/ajax-api/2.0/mlflow/registered-models/alias", json=body)
    assert answer.status_code == 404
    del ui.headers["Origin"]
    assert ui.post("/ajax-api/2.0/mlflow/registered-models/alias", json={**body, "version": "1"}).status_code == 403
    assert alias_notes.read(house.project, NAME, "champion") is None
    assert releases.alias(NAME) == "2"
