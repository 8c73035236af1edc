from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests import registry_page
from tests.endtoend.releases import CALM, Releases
from tests.house import House


@pytest.fixture(scope="session")
def calm(house: House) -> Iterator[Releases]:
    """The pipeline `CALM`, in whose production no test changes anything: of versions 1 and 2, 1 serves."""
    found = Releases(house)
    with found.api:
        found.pipeline(CALM)
        for seed in (1, 2):
            found.register(CALM, seed=seed)
        house.run("promote", CALM, "1")
        yield found


@pytest.fixture(scope="module")
def releases(house: House) -> Iterator[Releases]:
    found = Releases(house)
    with found.api:
        yield found


@pytest.fixture
def page() -> Iterator[Page]:
    program = registry_page.browser()
    if program is None:
        pytest.skip("no Chromium on this machine; Debian's package is `chromium`")
    with registry_page.opened(program) as page:
        yield page
