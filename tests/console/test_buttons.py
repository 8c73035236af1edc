"""Buttons: who may press them, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from components.access import cookie, project_door
from components.core.project import Project
from components.release import ledger as ledgers
from flows.console import app
from tests.console.small_console import MODEL, make_project, opened
from tests.waiting import eventually

ROLLBACK = f"/models/{MODEL}/rollback"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path)


@pytest.fixture
def client(project: Project) -> Iterator[TestClient]:
    with opened(project) as client:
        yield client


def token(client: TestClient, **headers: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', client.get(f"/models/{MODEL}", headers=headers).text)
    assert found is not None
    return found[1]


def ended(client: TestClient, location: str) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        action: dict[str, Any] = client.get(f"{location}.json").json()["action"]
        return action if action["state"] != "going on" else None

    return eventually(state, "the action ends")


@pytest.mark.slow
def test_a_button_begins_an_action_whose_page_says_how_it_ended(project: Project, client: TestClient) -> None:
    answer = client.post(ROLLBACK, data={"token": token(client), "version": ""})
    assert answer.status_code == 303
    action = ended(client, answer.headers["location"])
    assert action["title"] == "roll back"
    assert action["state"] == "failed"  # the pinned bundle is not on this disk
    assert "the bundle of version 1 was removed" in action["result"]
    assert "the bundle of version 1 was removed" in client.get(answer.headers["location"]).text
    assert "roll back" in client.get(f"/models/{MODEL}").text
    assert len(ledgers.of(project, MODEL).entries()) == 17


@pytest.mark.parametrize("sent", ["", "0" * 64])
def test_without_the_pages_token_nothing_begins(client: TestClient, sent: str) -> None:
    answer = client.post(ROLLBACK, data={"token": sent})
    assert answer.status_code == 403
    assert client.get(f"/models/{MODEL}.json").json()["actions"] == []


def test_a_token_is_of_no_use_with_another_cookie(project: Project, client: TestClient) -> None:
    known = project_door.secret_of(project)
    assert known is not None
    name = cookie.name(project_door.project_id(known))
    mine = token(client, cookie=f"{name}=mine")
    assert client.post(ROLLBACK, data={"token": mine}, headers={"cookie": f"{name}=other"}).status_code == 403
    # Other servers of this machine set cookies too, between the page and the form.
    assert client.post(ROLLBACK, data={"token": mine}, headers={"cookie": f"{name}=mine; x=y"}).status_code == 303


def test_a_client_with_the_secret_needs_no_token(client: TestClient) -> None:
    headers = {"authorization": "Basic eA==", "accept": "application/json"}  # the door has checked it
    answer = client.post(ROLLBACK, data={"version": "1"}, headers=headers)
    assert answer.status_code == 202
    assert answer.json()["action"]["title"] == "roll back to version 1"


@pytest.mark.parametrize(
    ("button", "fields"),
    [
        ("promote", {}),
        ("promote", {"version": "1; rm"}),
        ("approve", {"flow_run": "../admin"}),
        ("pause", {}),
        ("destroy", {}),
    ],
)
def test_a_form_that_asks_for_nothing_known(client: TestClient, button: str, fields: dict[str, str]) -> None:
    answer = client.post(f"/models/{MODEL}/{button}", data={"token": token(client), **fields})
    assert answer.status_code == 400


def test_other_methods_and_kinds_of_body_are_refused(client: TestClient) -> None:
    assert client.post(ROLLBACK, json={"token": token(client)}).status_code == 415
    assert client.post(ROLLBACK, data={"token": "x" * 30_000}).status_code == 413
    assert client.post(ROLLBACK).status_code == 415
    headerless = client.build_request("POST", ROLLBACK)
    headerless.headers.pop("content-length", None)
    assert client.send(headerless).status_code == 411
    assert client.get(ROLLBACK).status_code == 405
    assert client.post("/models").status_code == 405


def test_a_promotion_without_the_stack_says_so(client: TestClient) -> None:
    answer = client.post(f"/models/{MODEL}/promote", data={"token": token(client), "version": "2"})
    action = ended(client, answer.headers["location"])
    assert action["state"] == "failed"
    assert "the stack is not running" in action["result"]


def test_a_console_without_buttons(project: Project) -> None:
    (project.root / "modelyard.toml").write_text("[console]\nbuttons = false\n")
    with opened(project) as client:
        assert "<form method" not in client.get(f"/models/{MODEL}").text
        assert client.post(ROLLBACK, headers={"authorization": "Basic eA=="}, data={"version": "1"}).status_code == 403


def test_the_door_refuses_other_origins_and_whoever_has_no_secret(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELYARD_PROJECT", str(project.root))
    known = project_door.secret_of(project)
    assert known is not None
    with TestClient(app.create_app(), base_url="http://127.0.0.1:4300", follow_redirects=False) as client:
        assert client.get("/models").status_code == 401
        assert client.get("/models.json").status_code == 401
        opened = client.get(f"/.modelyard/open?code={cookie.new_code(known)}")
        assert opened.status_code == 200
        assert client.get("/models").status_code == 200
        form = {"token": token(client), "version": ""}
        origin = {"origin": "http://127.0.0.1:4300"}
        assert client.post(ROLLBACK, data=form).status_code == 403  # a page of ours sends its Origin
        foreign = {"origin": "http://127.0.0.1:9999", "sec-fetch-site": "same-site"}
        assert client.post(ROLLBACK, data=form, headers=foreign).status_code == 403
        assert client.post(ROLLBACK, data={**form, "token": ""}, headers=origin).status_code == 403
        assert client.post(ROLLBACK, data=form, headers=origin).status_code == 303
