"""The console as a person uses it: by its link, on a wide screen and a phone, by mouse and keyboard, seen by axe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests import accessibility
from tests.endtoend.releases import CALM, Releases
from tests.house import House
from tests.waiting import eventually

pytestmark = pytest.mark.slow
NAME = "shown"
ROOT = Path(__file__).resolve().parents[2]
PHONE, WIDE = {"width": 360, "height": 740}, {"width": 1280, "height": 860}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def url_of(house: House, page: Page) -> str:
    """The console's URL, with the browser logged in."""
    page.goto(house.json("open")["link"])
    page.wait_for_url("**/models")
    return page.url.removesuffix("/models")


def test_a_person_promotes_and_reads_what_became_of_it(releases: Releases, page: Page) -> None:
    releases.pipeline(NAME)
    for seed in (1, 2):
        releases.register(NAME, seed=seed)
    url = url_of(releases.house, page)
    for version in ("1", "2"):
        page.goto(f"{url}/models/{NAME}")
        page.get_by_text("Promote…").click()
        page.get_by_label("Version", exact=True).select_option(version)
        page.get_by_role("button", name="Promote").click()
        page.wait_for_url("**/actions/*")
        expect(page.get_by_text(f"version {version} is champion of {NAME}")).to_be_visible(timeout=180_000)
    assert releases.serves(NAME) == "2"
    assert releases.entries(NAME)[0].facts["how"] == f"the console: promote {NAME} 1"

    page.goto(f"{url}/models/{NAME}")
    page.get_by_text("Roll back…").click()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text(f"version 1 is champion of {NAME}")).to_be_visible(timeout=60_000)
    assert releases.serves(NAME) == "1"
    eventually(lambda: releases.alias(NAME) == "1", "the alias follows")
    page.goto(f"{url}/models/{NAME}")
    expect(page.get_by_text("rollback", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Gate report").first).to_be_visible()

    answer = releases.answer(NAME)
    page.goto(f"{url}/lineage?id={answer.headers['X-Modelyard-Prediction']}")
    expect(page.get_by_role("heading", name="Answer", exact=True)).to_be_visible(timeout=60_000)
    page.get_by_role("link", name=f"{NAME} 1").click()  # into the registry
    expect(page.get_by_role("heading", name="Version 1")).to_be_visible()


@pytest.mark.long
def test_a_person_approves_a_release(releases: Releases) -> None:
    name = releases.pipeline("asked", gates={"champion": None, "manual": {"timeout_minutes": 5}})
    releases.register(name, seed=1)
    releases.set(name, "1")
    url = str(next(row["url"] for row in releases.house.json_of_status() if row["name"] == "console"))
    with releases.house.client(url, timeout=30) as client:
        waiting = eventually(lambda: client.get(f"/models/{name}.json").json()["waiting"], "the release waits")
        form = {"flow_run": waiting["flow_run"], "answer": "yes", "comment": "looks right"}
        pressed = client.post(f"/models/{name}/approve", data=form, headers={"accept": "application/json"})
        assert pressed.status_code == 202
    approved = releases.wait_for(name, "1", "approved")
    assert approved.facts["comment"] == "looks right"
    releases.wait_until_serves(name, "1")
    releases.clear(name)
    eventually(lambda: releases.service(name).url is None, "the service stops")


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_pages_fit_a_phone_and_have_no_serious_finding(calm: Releases, page: Page, scheme: Any) -> None:
    url = url_of(calm.house, page)
    page.emulate_media(color_scheme=scheme)
    for path in ("/models", f"/models/{CALM}", "/data/digits", f"/lineage?model={CALM}&version=1", "/runs", "/disk"):
        page.goto(url + path)
        for size in (WIDE, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert page.evaluate(OVERFLOW) <= 0, f"{path} overflows at {size['width']} px"
        if accessibility.AXE.is_file():
            assert accessibility.serious(page) == [], path
    if not accessibility.AXE.is_file():
        pytest.skip("no axe-core here: `make browser` fetches it with npm")


def test_the_keyboard_is_enough(calm: Releases, page: Page) -> None:
    url = url_of(calm.house, page)
    page.goto(f"{url}/models")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Part of a model's name")).to_be_focused()
    page.keyboard.type(CALM)
    page.keyboard.press("Enter")
    page.wait_for_url("**q=calm**")
    page.get_by_role("link", name=CALM, exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=CALM, exact=True)).to_be_visible()
