"""What the heavy tests share: one copy of the project with one stack, for the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import House
from tests.project_copy import running_copy


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A copy of the project in another folder, with its stack running."""
    with running_copy(tmp_path_factory.mktemp("house") / "project") as house:
        yield house
