"""The registry's pages as a person uses them, in a real browser: found by words and roles, clicked with the mouse.

Written against the UI of MLflow 3.17.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Locator, Page, expect, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 30_000


def browser() -> str | None:
    """The system's Chromium; None where there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


@contextmanager
def opened(program: str, *words: str) -> Iterator[Page]:
    """An empty page of a fresh browser without a window."""
    with sync_playwright() as playwright:
        # Root (in a container) may not use the sandbox; the only pages seen are ours.
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *words])
        try:
            page = chromium.new_page(viewport={"width": 1600, "height": 1200}, locale="en-US")
            page.set_default_timeout(PATIENCE_MS)
            expect.set_options(timeout=PATIENCE_MS)
            # What MLflow shows a newcomer once, over the page.
            welcome = page.get_by_role("dialog").filter(has_text="new Model Registry UI")
            page.add_locator_handler(welcome, lambda: welcome.get_by_role("button", name="Close").click())
            yield page
        finally:
            chromium.close()


def set_alias(page: Page, url: str, name: str, version: str, alias: str) -> None:
    """From the model's page to the version's; there add an alias, as a person does; returns when it is saved."""
    _open_version(page, url, name, version)
    if alias in _shown_aliases(page):
        return
    dialog = _edit_aliases(page)
    field = dialog.get_by_role("combobox")
    field.click()
    field.press_sequentially(alias)
    page.locator(f".du-bois-light-select-dropdown [title='{alias}']").click()
    _save(page)
    expect(_aliases(page).get_by_role("status").and_(page.get_by_title(alias, exact=True))).to_be_visible()


def remove_alias(page: Page, url: str, name: str, version: str, alias: str) -> None:
    """Take an alias away on the version's page; returns when it is saved."""
    _open_version(page, url, name, version)
    _edit_aliases(page).get_by_title(alias, exact=True).get_by_role("button").click()
    _save(page)


def aliases(page: Page, url: str, name: str, version: str) -> list[str]:
    """The aliases that the version's page shows."""
    _open_version(page, url, name, version)
    return _shown_aliases(page)


def tags(page: Page, url: str, name: str, version: str) -> dict[str, str]:
    """The table of tags on the version's page."""
    _open_version(page, url, name, version)
    page.get_by_role("columnheader", name="Actions").wait_for()
    rows = [row.get_by_role("cell").all_inner_texts() for row in page.get_by_role("row").all()]
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 3 and row[0].strip()}


def description(page: Page, url: str, name: str, version: str) -> str:
    """The description on the version's page, as it is shown."""
    _open_version(page, url, name, version)
    shown = page.get_by_role("button", name=re.compile("^Description")).locator("xpath=../..").inner_text()
    return shown.partition("Edit")[2].strip()


def _open_version(page: Page, url: str, name: str, version: str) -> None:
    page.goto(f"{url}/#/models/{name}")
    page.reload()  # what it showed before is not shown again
    page.get_by_role("link", name=f"Version {version}", exact=True).click(timeout=90_000)  # beside other tests
    page.get_by_role("heading", name=f"Version {version}", exact=True).wait_for()


def _aliases(page: Page) -> Locator:
    """The part of a version's page with its aliases and the button to edit them."""
    return page.get_by_test_id("descriptions-item-label").filter(has_text="Aliases").locator("xpath=..")


def _shown_aliases(page: Page) -> list[str]:
    return [shown.get_attribute("title") or "" for shown in _aliases(page).get_by_role("status").all()]


def _edit_aliases(page: Page) -> Locator:
    _aliases(page).get_by_role("button").click()
    return page.get_by_role("dialog")


def _save(page: Page) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Save aliases").click()
    expect(dialog).to_be_hidden()
