from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.access import small_server
from tests.access.small_server import Server


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with small_server.running(tmp_path_factory.mktemp("door")) as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_reached(server: Server) -> None:
    server.reached.requests.clear()
    server.reached.actors.clear()
    server.reached.messages.clear()
