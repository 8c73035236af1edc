"""A real browser: pages of other origins get nowhere, before and after its owner has logged in; the owner does."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from components.access import project_door
from tests import registry_page
from tests.endtoend import stack_contents
from tests.endtoend.releases import CALM, Releases
from tests.house import House

pytestmark = pytest.mark.slow

NAME = CALM
EVIL = "evil.example"

# Every way in which a page can have the browser ask another origin; what came of each, by name.
ATTACK = """
async ({base, reads, changes, socket}) => {
  const found = {};
  const late = () => new Promise((_, no) => setTimeout(() => no(new Error("late")), 5000));
  const note = async (name, promise) => {
    try { found[name] = await Promise.race([promise, late()]) } catch (error) { found[name] = "failed" }
  };
  const all = [];
  for (const [method, path, body] of [...reads.map((path) => ["GET", path, null]), ...changes])
    for (const mode of ["cors", "no-cors"])
      for (const type of ["text/plain", "application/json"])
        all.push(note(`fetch ${mode} ${method} ${path} ${type}`, fetch(base + path, {
          method, mode, credentials: "include", body, headers: body ? {"Content-Type": type} : {},
        }).then(async (answer) => `${answer.type} ${answer.status} ${(await answer.text()).slice(0, 60)}`)));
  await Promise.all(all);
  const element = (kind, url) => new Promise((yes, no) => {
    const made = document.createElement(kind);
    made.onload = () => yes(`loaded ${made.naturalWidth ?? made.contentDocument?.body?.innerText ?? ""}`);
    made.onerror = () => no(new Error("refused"));
    if (kind === "link") { made.rel = "stylesheet"; made.href = url } else made.src = url;
    document.body.append(made);
  });
  for (const kind of ["img", "script", "link", "iframe"])
    for (const path of reads) await note(`${kind} ${path}`, element(kind, base + path));
  for (const [method, path, body] of changes) {
    const frame = document.createElement("iframe");
    frame.name = `f${Math.random()}`;
    document.body.append(frame);
    for (const encoding of ["text/plain", "application/x-www-form-urlencoded"]) {
      const form = document.createElement("form");
      const field = document.createElement("input");
      form.method = "POST"; form.action = base + path; form.enctype = encoding; form.target = frame.name;
      field.name = body.slice(0, -2) + ',"x":"'; field.value = '"}';
      form.append(field); document.body.append(form);
      await note(`form ${path}`, new Promise((yes) => { frame.onload = () => yes("sent"); form.submit() }));
    }
    found[`beacon ${path}`] = navigator.sendBeacon(base + path, body) ? "sent" : "failed";
  }
  for (const protocols of [[], ["prefect"]])
    await note(`websocket ${protocols}`, new Promise((yes, no) => {
      const opened = new WebSocket(base.replace("http", "ws") + socket, protocols);
      opened.onopen = () => yes("open"); opened.onerror = () => no(new Error("refused"));
    }));
  await note("events", new Promise((yes, no) => {
    const source = new EventSource(base + reads[0], {withCredentials: true});
    source.onmessage = (message) => yes(message.data);
    source.onerror = () => { source.close(); no(new Error("refused")) };
  }));
  return found;
}
"""


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        """An empty page."""
        content = b"<!doctype html><title>elsewhere</title><body>elsewhere"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[int]:
    """The port of another server of this machine."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def page() -> Iterator[Page]:
    """A fresh browser, in which a foreign name has been rebound to this machine."""
    program = registry_page.browser()
    if program is None:
        pytest.skip("no Chromium on this machine; Debian's package is `chromium`")
    with registry_page.opened(program, f"--host-resolver-rules=MAP {EVIL} 127.0.0.1") as page:
        yield page


def targets(house: House, calm: Releases) -> dict[str, dict[str, Any]]:
    """What a foreign page would like to do to each server."""
    urls = {row["name"]: row["url"] for row in house.json_of_status()}
    alias = f'{{"name": "{NAME}", "alias": "champion", "version": "2"}}'
    api, ajax = "/api/2.0/mlflow", "/ajax-api/2.0/mlflow"
    return {
        "prefect": {
            "base": urls["prefect"],
            "reads": ["/api/health", "/api/admin/version", "/ui-settings"],
            "changes": [
                ("POST", "/api/flows/", '{"name": "from-elsewhere"}'),
                ("POST", "/api/flow_runs/filter", "{}"),
                ("DELETE", "/api/work_pools/modelyard", "{}"),
                ("PATCH", "/api/work_pools/modelyard", '{"is_paused": true}'),
            ],
            "socket": "/api/events/out",
        },
        "mlflow": {
            "base": urls["mlflow"],
            "reads": [f"{api}/experiments/search?max_results=5", "/version"],
            "changes": [
                ("POST", f"{api}/registered-models/alias", alias),
                ("POST", f"{ajax}/registered-models/alias", alias),
                ("DELETE", f"{api}/registered-models/alias", f'{{"name": "{NAME}", "alias": "champion"}}'),
                ("PUT", "/api/2.0/mlflow-artifacts/artifacts/x", "{}"),
            ],
            "socket": "/",
        },
        "service": {
            "base": urls[f"serve-{NAME}"],
            "reads": ["/status", "/metrics", "/model"],
            "changes": [("POST", "/predict", "{}")],
            "socket": "/predict",
        },
    }


def attack(page: Page, target: dict[str, Any]) -> list[str]:
    """What a page of another origin got."""
    found = page.evaluate(ATTACK, target)
    assert len(found) > 15
    got = []
    for way, result in found.items():
        sent_blindly = way.startswith(("form", "beacon")) and result in ("sent", "failed")
        # An iframe says that it has loaded whatever it shows, a refusal too, and tells nothing of it.
        blank = way.startswith("iframe") and result == "loaded "
        opaque = way.startswith("fetch no-cors") and result.startswith("opaque 0 ") and len(result) == len("opaque 0 ")
        if not (result == "failed" or sent_blindly or blank or opaque):
            got.append(f"{way}: {result}")
    return got


def log_in(house: House, page: Page, name: str) -> str:
    """Through the link of `modelyard open`; the link."""
    link = str(house.json("open", name)["link"])
    page.goto(link)
    page.wait_for_url(lambda url: "/.modelyard/" not in url)
    return link


def test_foreign_pages_get_nowhere_before_and_after_the_login(
    house: House, calm: Releases, page: Page, elsewhere: int
) -> None:
    before = stack_contents.at_rest(house)
    servers = targets(house, calm)
    origins = [f"http://{host}:{elsewhere}" for host in ("127.0.0.1", "localhost", EVIL)]
    for logged_in in (False, True):
        if logged_in:
            for name in ("prefect", "mlflow", NAME):
                log_in(house, page, name)
            assert page.request.get(servers["service"]["base"] + "/status").status == 200
        for origin in origins:
            page.goto(origin)
            for name, target in servers.items():
                assert attack(page, target) == [], f"{origin} asks {name}, logged in: {logged_in}"
                assert stack_contents.of(house) == before, f"{origin} changes {name}, logged in: {logged_in}"
                page.goto(origin)
    assert calm.alias(NAME) == "1"


def test_a_name_that_is_rebound_to_this_machine_gets_nowhere(house: House, calm: Releases, page: Page) -> None:
    before = stack_contents.at_rest(house)
    for logged_in in (False, True):
        for name, target in targets(house, calm).items():
            if logged_in:
                log_in(house, page, NAME if name == "service" else name)
            here = target["base"].replace("127.0.0.1", EVIL)
            answer = page.goto(here)
            assert answer is not None
            assert answer.status == 403
            found = page.evaluate(ATTACK, {**target, "base": here})
            for way, result in found.items():
                if way.startswith("fetch"):  # of its own origin, as the browser sees it: it may read the refusal
                    assert result.startswith("basic 403 ") or result == "failed", (way, result)
                elif not way.startswith(("iframe", "form", "beacon")):
                    assert result == "failed", (way, result)
            # Nor is a link's code of use under that name.
            link = house.json("open", NAME if name == "service" else name)["link"].replace("127.0.0.1", EVIL)
            refused = page.goto(link)
            assert refused is not None
            assert refused.status == 403
    assert stack_contents.of(house) == before


def test_the_owner_logs_in_once_and_everything_works(house: House, calm: Releases, page: Page) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    urls = {row["name"]: row["url"] for row in house.json_of_status()}
    refused = page.goto(urls["prefect"])
    assert refused is not None
    assert refused.status == 401
    expect(page.get_by_text("modelyard open prefect")).to_be_visible()

    link = log_in(house, page, "prefect")
    expect(page.get_by_text("Flow Runs").first).to_be_visible()
    expect(page.get_by_text("modelyard", exact=True).first).to_be_visible()  # the work pool
    page.goto(f"{urls['prefect']}/v2/runs")
    expect(page.get_by_text("Released").first).to_be_visible()
    said = page.evaluate(
        """(url) => new Promise((yes, no) => {
          const events = new WebSocket(url, ["prefect"]);
          events.onopen = () => events.send(JSON.stringify({type: "auth", token: ""}));
          events.onmessage = (message) => { events.close(); yes(JSON.parse(message.data).type) };
          events.onerror = () => no(new Error("refused"));
        })""",
        urls["prefect"].replace("http", "ws") + "/api/events/out",
    )
    assert said == "auth_success"

    log_in(house, page, "mlflow")
    chosen = page.get_by_role("radio", name="Model training").or_(page.get_by_text("Model training"))
    expect(chosen.first).to_be_visible()
    expect(page.get_by_role("link", name=NAME, exact=True).first).to_be_visible()
    for place in ("#/models", "#/experiments"):  # on model training it stays, wherever the person goes
        page.goto(f"{urls['mlflow']}/{place}")
        page.reload()
        expect(page.get_by_role("link", name="Model registry").first).to_be_visible()
        expect(page.get_by_role("link", name="Prompts")).to_have_count(0)

    log_in(house, page, NAME)
    expect(page.get_by_text(NAME).first).to_be_visible()

    name = f"modelyard-{project_door.project_id(project_door.secret_of(house.project) or '')}"
    (cookie,) = [one for one in page.context.cookies() if one.get("name") == name]
    assert cookie.get("httpOnly") is True
    assert cookie.get("sameSite") == "Strict"
    assert name not in page.evaluate("document.cookie")
    assert [url for url in requested if urlsplit(url).hostname != "127.0.0.1"] == []

    again = page.goto(link)
    assert again is not None
    assert again.status == 401
    expect(page.get_by_text("used before")).to_be_visible()


def test_a_link_in_another_page_logs_in_too(house: House, calm: Releases, page: Page, elsewhere: int) -> None:
    """As in a mail or a terminal in the browser: the navigation comes from another site."""
    page.goto(f"http://{EVIL}:{elsewhere}")
    link = house.json("open", "mlflow")["link"]
    page.evaluate("(url) => { location.href = url }", link)
    expect(page.get_by_role("link", name=NAME, exact=True).first).to_be_visible()


def test_the_file_that_opens_the_browser_is_the_owners_alone(house: House, tmp_path: Path) -> None:
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >{tmp_path}/shown\n')
    program.chmod(0o755)
    house.environment["BROWSER"] = str(program)
    try:
        house.run("open", "prefect")
    finally:
        del house.environment["BROWSER"]
    page = Path(urlsplit((tmp_path / "shown").read_text().strip()).path)
    assert page.stat().st_mode & 0o077 == 0
    assert "/.modelyard/open?code=" in page.read_text()
