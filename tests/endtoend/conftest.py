from __future__ import annotations

from collections.abc import Iterator

import pytest

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
