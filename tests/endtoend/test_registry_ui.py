"""A person with a browser and a mouse: production follows what they click, and they read there why it did not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests import registry_page
from tests.endtoend.releases import Releases
from tests.waiting import eventually

pytestmark = pytest.mark.slow
NAME = "clicked"


def test_production_follows_the_mouse_and_a_refusal_is_read_where_it_was_clicked(
    releases: Releases, page: Page
) -> None:
    releases.pipeline(NAME)
    for seed in (1, 2):
        releases.register(NAME, seed=seed)
    releases.register(NAME, seed=3, graph_scale=1 / 128)  # its graph normalises otherwise than its training did
    url = releases.api.url
    page.goto(releases.house.json("open", "mlflow")["link"])
    page.wait_for_url(f"{url}/#/experiments*")

    for version in ("1", "2"):
        registry_page.set_alias(page, url, NAME, version, "champion")
        assert releases.alias(NAME) == version
        releases.wait_until_serves(NAME, version)
        shown = registry_page.tags(page, url, NAME, version)
        assert shown["modelyard.release"] == "served"
        assert shown["modelyard.package_digest"] == releases.answer(NAME).headers["X-Modelyard-Package"]
    assert registry_page.aliases(page, url, NAME, "1") == []

    registry_page.set_alias(page, url, NAME, "3", "champion")
    releases.wait_for(NAME, "3", "refused")
    assert releases.serves(NAME) == "2"
    assert registry_page.aliases(page, url, NAME, "3") == []
    assert registry_page.aliases(page, url, NAME, "2") == ["champion"]
    shown = registry_page.tags(page, url, NAME, "3")
    assert shown["modelyard.release"] == "refused"
    assert shown["modelyard.release_reason"].startswith("parity: ")
    described = registry_page.description(page, url, NAME, "3")
    assert "accuracy 0.7500" in described  # what stood there before
    assert "parity" in described
    assert "as champion" in described

    registry_page.remove_alias(page, url, NAME, "2", "champion")
    assert releases.alias(NAME) is None
    eventually(lambda: releases.service(NAME).url is None, "the service stops once nothing is champion")
