"""Every page and its JSON, with hostile texts in everything that people and gates write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from components.core.project import Project
from flows.console.refreshed import Refreshed, RefreshedByKey
from tests.console.small_console import HOSTILE, MODEL, PIPELINE, make_project, opened

PAGES = (
    "/models",
    f"/models?q={MODEL}",
    "/models?show=attention",
    f"/models/{MODEL}",
    "/models/quiet",
    "/data",
    "/data/digits",
    "/lineage",
    f"/lineage?model={MODEL}&version=2",
    "/lineage?id=%3Cscript%3E",
    "/runs",
    "/schedules",
)


class Markup(HTMLParser):
    """What of a page could run: its scripts, handlers, and addresses that links and forms lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[str | None] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.identities: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[str | None] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "script":
            self.scripts.append(found.get("src"))
        self.handlers += [name for name, _ in attributes if name.startswith("on") or name in ("style", "srcdoc")]
        self.addresses += [str(found[name]) for name in ("href", "src", "action") if found.get(name) is not None]
        self.identities += [str(found["id"])] if "id" in found else []
        if tag == "label":
            self.labelled.add(str(found.get("for")))
        if tag in ("input", "select", "textarea") and found.get("type") != "hidden":
            self.fields.append(found.get("id"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="module")
def client(project: Project) -> Iterator[TestClient]:
    with opened(project) as client:
        yield client


def content(project: Project) -> dict[str, str]:
    """The digests of all files but SQLite's own beside the ledger."""
    return {
        path.relative_to(project.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(project.root.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("path", PAGES)
def test_a_page_runs_nothing_of_what_people_wrote(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    markup = Markup(answer.text)
    assert len(markup.scripts) == 1
    assert str(markup.scripts[0]).startswith("/static/")
    assert markup.handlers == []
    assert all(one.startswith(("/", "#", "?", "http://127.0.0.1", "data:image/svg+xml,")) for one in markup.addresses)
    assert "script-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label_and_no_id_is_there_twice(client: TestClient, path: str) -> None:
    markup = Markup(client.get(path).text)
    assert len(markup.identities) == len(set(markup.identities))
    assert set(markup.fields) <= markup.labelled


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_its_json(client: TestClient, path: str) -> None:
    address, mark, query = path.partition("?")
    by_address = client.get(f"{address}.json{mark}{query}")
    by_header = client.get(path, headers={"accept": "application/json"})
    assert by_address.headers["content-type"] == by_header.headers["content-type"] == "application/json"
    assert by_address.json().keys() == by_header.json().keys()


def test_hostile_text_is_seen_where_it_could_not_be_escaped(client: TestClient) -> None:
    markup = Markup(f"<main>{HOSTILE}</main>")
    assert markup.scripts == [None]
    assert markup.handlers == ["onerror"]
    assert client.get(f"/models/{MODEL}").text.count("&lt;script&gt;") > 10


def test_what_registry_and_prefect_say_runs_nothing(tmp_path: Path) -> None:
    """Aliases, reasons, descriptions, names and messages, as if everybody who writes them were hostile."""
    version = {"version": "1", "aliases": [HOSTILE], "created_ms": 0, "state": HOSTILE, "reason": HOSTILE,
               "report": HOSTILE, "package_digest": HOSTILE, "run": HOSTILE, "tags": {"modelyard.git_commit": HOSTILE},
               "description": HOSTILE, "url": "http://127.0.0.1/#/models"}  # fmt: skip
    run = {"id": "1", "name": HOSTILE, "subject": HOSTILE, "state": HOSTILE, "type": "FAILED",
           "message": HOSTILE, "started": HOSTILE, "seconds": 1.0,
           "stages": [{"name": HOSTILE, "state": HOSTILE}], "url": "/x"}  # fmt: skip
    schedule = {"id": "1", "name": HOSTILE, "cron": HOSTILE, "timezone": HOSTILE, "paused": False, "next": [HOSTILE],
                "url": "/x"}  # fmt: skip
    project = make_project(tmp_path)
    with opened(project) as client:
        sources = client.app.state.sources  # type: ignore[attr-defined]
        sources.aliases = Refreshed(lambda: {HOSTILE: {"champion": HOSTILE}, MODEL: {"champion": HOSTILE}}, 3600)
        sources.versions = RefreshedByKey(lambda _: [version], 3600)
        sources.runs, sources.deployments = Refreshed(lambda: [run], 3600), Refreshed(lambda: [schedule], 3600)
        for path in ("/models", f"/models/{MODEL}", f"/lineage?model={MODEL}&version=1", "/runs", "/schedules"):
            text = client.get(path).text
            markup = Markup(text)
            assert len(markup.scripts) == 1, path
            assert markup.handlers == [], path
            assert "&lt;script&gt;" in text, path


def test_reading_changes_nothing(project: Project, client: TestClient) -> None:
    before = content(project)
    for path in PAGES:
        client.get(path)
    assert content(project) == before


def test_the_document_of_a_model(client: TestClient) -> None:
    found = client.get(f"/models/{MODEL}.json").json()
    assert [(one["before"], one["after"], one["event"]) for one in found["releases"]] == [
        ("2", "3", "refused"), ("1", "2", "served"), (None, "1", "served"),
    ]  # fmt: skip
    assert found["releases"][0]["gates"] == [{"gate": "parity", "passed": False, "reason": HOSTILE, "limit": "1e-4"}]
    assert found["releases"][1]["gates"][0]["gate"] == "accuracy"
    assert found["releases"][0]["report"] is None  # not an address of the web
    assert found["can_go_back_to"] == ["2", "1"]
    assert found["state"] == {"severity": "bad", "text": "the service does not run"}
    assert found["drift"][0]["alarm"] is True
    assert found["drift"][0]["columns"][0]["psi"] == 0.3
    assert any("registry" in text for text in found["problems"])


def test_without_servers_a_page_says_so_and_shows_the_rest(client: TestClient) -> None:
    text = client.get("/models").text
    assert "The registry does not answer" in text
    assert MODEL in text
    assert "Prefect does not answer" in client.get("/runs").text


def test_a_damaged_ledger_is_said(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    (project.ledger / "key").write_text("another")
    with opened(project) as client:
        [damaged, _] = client.get("/models.json").json()["models"]
        page = client.get(f"/models/{MODEL}").text
    assert damaged["state"]["severity"] == "bad"
    assert "ledger" in damaged["state"]["text"]
    assert "The ledger cannot be read" in page


def test_search_and_paging(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    for number in range(120):
        project.pipeline_file(f"model-{number:03}").write_text(PIPELINE.format(name=f"model-{number:03}"))
    with opened(project) as client:
        first, last = (client.get(f"/models.json?page={page}").json() for page in (1, 99))
        assert (first["total"], first["pages"], len(first["models"]), last["page"]) == (122, 3, 50, 3)
        found = client.get("/models.json?q=MODEL-01&page=1").json()
        assert [row["name"] for row in found["models"]] == [f"model-01{digit}" for digit in range(10)]
        assert 'rel="next"' in client.get("/models").text
        production = client.get("/models.json?show=production").json()
        assert [row["name"] for row in production["models"]] == [MODEL]


@pytest.mark.parametrize("path", ["/models/none", "/models/%2e%2e", "/data/none", "/actions/0", "/nothing"])
def test_what_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_a_report_is_shown_without_its_scripts(client: TestClient) -> None:
    answer = client.get("/data/digits/reports/raw.html")
    assert answer.status_code == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]  # default-src 'none' counts


@pytest.mark.parametrize(
    "path",
    [
        "/data/digits/reports/raw.json",
        "/data/digits/reports/..%2f..%2fstack%2fsecret",
        f"/models/{MODEL}/gates/0123456789abcdef/report.html",
        f"/models/{MODEL}/gates/..%2f..%2fstack/report.html",
        "/static/1/app.py",
        "/static/1/..%2fapp.py",
    ],
)
def test_nothing_else_of_the_disk_is_shown(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.slow
def test_the_graph_of_lineage(client: TestClient) -> None:
    found = client.get(f"/lineage.json?model={MODEL}&version=2").json()
    kinds = {node["kind"]: node for node in found["nodes"]}
    assert kinds["bundle"]["text"] == f"{MODEL}:{'2' * 12}"
    assert kinds["package"]["facts"]["digest"] == "2" * 64
    assert kinds["release"]["facts"]["asked by"] == HOSTILE
    assert kinds["data"]["href"] == "/data/digits"
    assert ["bundle", "package"] in found["edges"]
    assert json.dumps(found)
