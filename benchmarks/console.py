"""The console with many models and a long ledger: when Chromium paints its pages first.

A project with so many pipelines, a registry (a real MLflow server) with as many models, and a ledger with so many
entries, signed; the console's server is started as the platform starts it. The first page is read as soon as the
server answers, before it has read the ledger in the background. Needs Chromium.

    python -m benchmarks.console [--models 1000] [--entries 100000] [--rounds 5]
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks import figure
from benchmarks.figure import Figure
from components.access import project_door, secret
from components.core.errors import NotFoundError, StackError
from components.core.project import Project
from components.release import ledger as ledgers
from components.release.entry import FIRST, Document, Entry, VersionRef
from components.release.ledger import Ledger
from flows.platform import browser, environment, health, ports, programs, state
from flows.platform.state import StackState

NAME = "console"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 240.0
PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0]"
PIPELINE = "name: {name}\ntask: image-classification\ndataset: digits\nmodel: {{family: cnn, name: textbook}}\n"
STEPS = ("asked", "verified", "bundled", "gated", "staged", "proven", "switching", "switched", "served", "told")


def measure(models: int = 1000, entries: int = 100_000, rounds: int = 5) -> list[Figure]:
    """First paints of a server that has just started, then medians.

    Raises:
        NotFoundError: no Chromium.
        StackError: a server does not start.
    """
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise NotFoundError("no Chromium here", next_step="apt-get install chromium")
    with ExitStack() as during:
        folder = during.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-", dir=Path.cwd()))
        project = _project(Path(folder), models, entries)
        taken: dict[str, int] = {}
        for name, first in (("prefect", 24500), ("mlflow", 24600), ("console", 24700)):
            taken[name] = ports.choose(first, taken.values())
        state.save(project, StackState(str(project.root), wanted=True, ports=taken))
        during.enter_context(
            _server(project, programs._mlflow(project, StackState(folder, ports=taken)), taken["mlflow"])
        )
        _register(project, models)
        figure.tell("the registry has its models")
        playwright = during.enter_context(sync_playwright())
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        during.callback(chromium.close)
        console = programs._console(project, StackState(folder, ports=taken))
        during.enter_context(_server(project, console, taken["console"]))
        page = chromium.new_page(viewport={"width": 1280, "height": 860})
        return _figures(page, project, f"http://127.0.0.1:{taken['console']}", models, entries, rounds)


def _figures(page: Page, project: Project, url: str, models: int, entries: int, rounds: int) -> list[Figure]:
    page.goto(browser.link(project, "console", url))
    page.wait_for_url("**/models")
    size = f"{models:,} models, {entries:,} ledger entries"
    found = [Figure(NAME, f"first paint of all models, the first page of a new server, {size}", _paint(page), "s", 1.0)]
    shown = page.locator("tbody tr").count()
    if shown != min(50, models):
        raise StackError("the page does not show its models", got=shown, expected=min(50, models))
    last = f"model-{models - 1:04}"
    for what, path in (
        ("all models", "/models"),
        ("the last page of them", f"/models?page={-(-models // 50)}"),
        ("a search", f"/models?q={last}"),
        ("those to be looked at", "/models?show=attention"),
        ("a model", f"/models/{last}"),
    ):
        paints = []
        for _ in range(rounds):
            page.goto(url + path)
            paints.append(_paint(page))
        found.append(Figure(NAME, f"first paint of {what}, median of {rounds}", statistics.median(paints), "s", 1.0))
    return found


def _paint(page: Page) -> float:
    """When the browser painted the page's first content, seconds after it began to ask for it."""
    until = time.monotonic() + START_SECONDS
    while (painted := page.evaluate(f"{PAINT} ?? null")) is None:  # the page's policy lets no polling script run
        if time.monotonic() > until:
            raise StackError("the page was not painted", where=page.url)
        time.sleep(0.02)
    return round(float(painted) / 1000, 3)


def _project(root: Path, models: int, entries: int) -> Project:
    project = Project(root)
    project.pipelines.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    project.state.mkdir(mode=0o700)
    secret.create_once(project_door.secret_file(project))
    project.ledger.mkdir(mode=0o700)
    secret.create_once(project.ledger / ledgers.KEY)
    key = secret.read(project.ledger / ledgers.KEY) or ""
    each = entries // models
    for number in range(models):
        name = f"model-{number:04}"
        project.pipeline_file(name).write_text(PIPELINE.format(name=name))
        with Ledger(project.ledger, name)._database.writing() as connection:
            ledgers._write(connection, name, key, None, _entries(name, each))
    figure.tell(f"{models * each:,} entries written")
    return project


def _entries(name: str, count: int) -> Iterator[Document]:
    """Entries of releases, with facts as real ones have them."""
    for place in range(count):
        version, step = place // len(STEPS) + 1, STEPS[place % len(STEPS)]
        before = VersionRef(version=str(version - 1), package_digest=f"{version - 1:064x}") if version > 1 else None
        pin = {"version": str(version), "package_digest": f"{version:064x}", "bundle": f"{name}:{version:012x}",
               "bundle_digest": f"{version:064x}"}  # fmt: skip
        facts: dict[str, Any] = {"seconds": 1.25}
        if step == "switching":
            facts = {"production": {"champion": pin}}
        elif step == "gated":
            reason = "0.9871 (95 %: 0.9810 to 0.9932) against 0.9855: not worse by more than 0.01"
            facts = {"evidence": f"{version:064x}", "figures": {"champion": {"reason": reason, "metric": "accuracy"}}}
        yield Entry.model_validate({
            "sequence": 1, "time": f"2026-{place % 12 + 1:02}-01T00:00:00.000+00:00", "release": f"{version:012x}",
            "event": step, "role": "champion",
            "before": before,
            "after": VersionRef(version=str(version), package_digest=f"{version:064x}"), "asked_by": "ann",
            "facts": facts, "previous": FIRST, "digest": "",
        }).model_dump(mode="json")  # fmt: skip


def _register(project: Project, models: int) -> None:
    """Registered models with a version and the alias champion, written into the registry's database."""
    now = 1_790_000_000_000
    rows: dict[str, list[dict[str, Any]]] = {
        "registered_models": [],
        "model_versions": [],
        "registered_model_aliases": [],
    }
    for number in range(models):
        name = f"model-{number:04}"
        times = {"creation_time": now, "last_updated_time": now}
        rows["registered_models"].append({"name": name, **times})
        rest = {"current_stage": "None", "status": "READY", "source": "mlflow-artifacts:/0"}
        rows["model_versions"].append({"name": name, "version": 10, **times, **rest})
        rows["registered_model_aliases"].append({"name": name, "alias": "champion", "version": 10})
    with closing(sqlite3.connect(project.state / "mlflow" / "mlflow.db", timeout=60)) as connection, connection:
        for table, values in rows.items():
            columns = list(values[0])
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            connection.executemany(statement, [tuple(row[column] for column in columns) for row in values])


@contextmanager
def _server(project: Project, program: programs.Program, port: int) -> Iterator[None]:
    """A server as the platform starts it, without its supervisor."""
    (project.state / "mlflow").mkdir(exist_ok=True)
    variables = {**os.environ, **environment.of_project(project), **program.environment}
    variables |= {"MODELYARD_PROJECT": str(project.root), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    environment.quiet(variables)
    process = subprocess.Popen(program.command, cwd=project.root, env=variables, stdout=subprocess.DEVNULL, stderr=2)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not health.is_ours(project, port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"{program.name} did not start", got=process.poll())
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--models", type=int, default=1000)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    sys.exit(figure.command(measure, options))
