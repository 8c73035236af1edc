"""`python -m docs.screenshots [MODEL]`: pictures for the site, from the running stack, with the system's Chromium.

They go to build/screenshots/, where `make docs` finds them. A page that is not there (no champion, no gate report) is
named and left out.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

from components.core.errors import ModelyardError, NotFoundError, StackError
from components.core.project import Project
from docs.hooks import SCREENSHOTS
from flows.platform import browser, lifecycle
from flows.platform.programs import SERVICE_PREFIX

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1280, "height": 800}
SETTLE_MS = 5000  # pages draw after they have loaded, and ask their server all the time
PATIENCE_MS = 60_000


def main(arguments: list[str]) -> int:
    """Take every picture that can be taken; the exit code is 1 if none could."""
    try:
        taken = take(Project.find(), arguments[0] if arguments else None)
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0 if taken else 1


def take(project: Project, model: str | None) -> list[str]:
    """Take the pictures of a model; default: the first one that is served. Returns their names.

    Raises:
        NotFoundError: no Chromium, or no such service.
        StackError: the stack does not run.
    """
    program = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if program is None:
        raise NotFoundError("no Chromium here", next_step="apt-get install chromium")
    urls = {row.name: str(row.url) for row in lifecycle.status(project) if row.state == "ready" and row.url}
    if not {"mlflow", "prefect", "console"} <= urls.keys():
        raise StackError("the stack does not run", next_step="`modelyard up`")
    served = [name.removeprefix(SERVICE_PREFIX) for name in urls if name.startswith(SERVICE_PREFIX)]
    name = model or next(iter(served), None)
    if name is None or name not in served:
        raise NotFoundError("no model is served", got=model, next_step="`modelyard promote digits 1`")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        # Root may not use the sandbox; the only pages are the project's own.
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            page = chromium.new_page(viewport=SIZE, locale="en-US")  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE_MS)
            return _pictures(page, project, name, urls)
        except PlaywrightError as error:
            raise StackError("a page could not be opened in Chromium", got=error) from error
        finally:
            chromium.close()


def _pictures(page: Page, project: Project, name: str, urls: dict[str, str]) -> list[str]:
    taken = []
    console = urls["console"]
    _enter(page, project, "console", console)
    for path, picture in (("", "console-models"), (f"/{name}", "console-model")):
        taken.append(_picture(page, f"{console}/models{path}", picture))
    version = page.request.get(f"{console}/models/{name}.json").json()["actual"]
    taken.append(_picture(page, f"{console}/lineage?model={name}&version={version}", "console-lineage"))
    for path in ("data", "runs"):
        taken.append(_picture(page, f"{console}/{path}", f"console-{path}"))
    _enter(page, project, "mlflow", urls["mlflow"])
    taken.append(_picture(page, f"{urls['mlflow']}/#/models/{name}", "mlflow-model"))
    _enter(page, project, "prefect", urls["prefect"])
    taken.append(_picture(page, f"{urls['prefect']}/runs", "prefect-runs"))
    service = urls[SERVICE_PREFIX + name]
    _enter(page, project, name, service)
    taken.append(_picture(page, f"{service}/", "service-page", clicks=("#examples button", "#answer button")))
    reports = sorted((project.state / "gates" / name).glob("*/report.html"), key=_modified)
    if reports:
        taken.append(_picture(page, reports[-1].as_uri(), "gate-report"))
    else:
        print(f"no gate report of {name}", file=sys.stderr)
    return taken


def _enter(page: Page, project: Project, name: str, url: str) -> None:
    """Get the server's cookie by a link, which then leads on to the server's page."""
    page.goto(browser.link(project, name, url))
    page.wait_for_timeout(SETTLE_MS)


def _picture(page: Page, url: str, name: str, clicks: Sequence[str] = ()) -> str:
    """A picture of a page, after clicks on the first of each of the buttons that are there."""
    page.goto(url)
    page.wait_for_timeout(SETTLE_MS)
    welcome = page.get_by_role("dialog").get_by_role("button", name="Close")
    if welcome.count():  # what MLflow shows a newcomer once
        welcome.first.click()
    for button in clicks:
        if page.locator(button).count():
            page.locator(button).first.click()
            page.wait_for_timeout(SETTLE_MS)
    path = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=path, full_page=bool(clicks))
    print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return name


def _modified(path: Path) -> float:
    return path.stat().st_mtime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
