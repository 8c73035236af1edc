"""A service of small packages in this process, asked over ASGI, and told by order files."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.testclient import TestClient

from components.contracts.serving_spec import (
    KEY_HEADER,
    VERSION_HEADER,
    ChallengerLimits,
    ChallengerSpec,
    RolloutPolicy,
    ServingSpec,
    SlotSpec,
    WorkerStatus,
)
from serving.app import ModelApp
from serving.worker import Worker
from tests import small_package

IMAGE = small_package.image(0)
LIMITS = ChallengerLimits(max_error_rate=0.1, max_latency_ratio=5.0, min_requests=10)


def challenger(slot: SlotSpec, percent: float, limits: ChallengerLimits = LIMITS) -> ChallengerSpec:
    """A slot as a challenger's."""
    return ChallengerSpec(**slot.model_dump(), policy=RolloutPolicy(canary_percent=percent, limits=limits))


@dataclass
class Service:
    """A worker, how to ask it, and how to order."""

    folder: Path
    worker: Worker
    client: TestClient
    generation: int = 0

    def order(self, *, wait: bool = True, **slots: SlotSpec | None) -> WorkerStatus:
        """Write an order; with `wait`, until it is carried out. The worker's statement."""
        self.generation = max(self.generation, self.statement().generation) + 1
        ServingSpec.model_validate({"generation": self.generation, **slots}).write(self.folder)
        if wait:
            eventually(lambda: self.statement().generation == self.generation)
        return self.statement()

    def statement(self) -> WorkerStatus:
        """What this worker says over HTTP; the first, others come after it."""
        document = self.client.get("/status").json()
        return WorkerStatus.model_validate(document["workers"][0])

    def ask(self, content: bytes = IMAGE, *, want: str | None = None, key: str | None = None) -> httpx.Response:
        """One image."""
        headers = {"content-type": "image/png"}
        if want is not None:
            headers[VERSION_HEADER] = want
        if key is not None:
            headers[KEY_HEADER] = key
        response: httpx.Response = self.client.post("/predict", content=content, headers=headers)
        return response

    def answered_by(self, *, want: str | None = None, key: str | None = None) -> str:
        """Which version answers."""
        response = self.ask(want=want, key=key)
        assert response.status_code == 200, response.text
        return str(response.headers["x-modelyard-version"])


@contextmanager
def running(bundle: Path, folder: Path | None) -> Iterator[Service]:
    """A worker in this process."""
    worker = Worker(bundle, folder, threads=2)
    app = ModelApp()
    app.serve(worker)
    try:
        with TestClient(app.asgi) as client:
            yield Service(folder or bundle, worker, client)
    finally:
        worker.stop()


def eventually(true: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until something is so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.01)


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """The URL of an ASGI application on a port of this machine.

    Without a configuration of logging: it closes every handler that is there, and absl's (imported with TensorBoard)
    closes its stream then, which may be the file that pytest captures in.
    """
    listener = socket.create_server(("127.0.0.1", 0))  # a port that is looked for may be taken by another server
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def over_http(bundle: Path) -> Iterator[str]:
    """The URL of a service of a bundle."""
    app = ModelApp()
    app.serve(Worker(bundle, None, threads=1))
    with listening(app.asgi) as url:
        yield url
