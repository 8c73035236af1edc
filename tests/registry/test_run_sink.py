"""A registry that is away does not stop a training; what it missed is kept, and said at the end."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components.contracts.training_request import Metrics, Started
from components.core.errors import RegistryError
from components.registry.api import Api
from components.registry.tracking import Run, RunSink
from flows.platform import ports

RUN = Run("r", "1", "", "RUNNING", 0)
STEPS = 2_000
STARTED = Started(
    epoch=0, step=0, total_epochs=1, steps_per_epoch=STEPS, parameters=10, device="cpu", precision="fp32",
    compiled=False, resumed=False,
)  # fmt: skip


def metrics(step: int) -> Metrics:
    return Metrics(step=step, epoch=0, values={"train/loss": 1.0 / (1 + step)})


@contextmanager
def registry(port: int, answers: threading.Event) -> Iterator[list[dict[str, Any]]]:
    """A server that takes batches of a run once `answers` is set; gives the batches."""
    taken: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answers.wait(60)
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield taken
        server.shutdown()


def steps(taken: list[dict[str, Any]]) -> list[int]:
    return [metric["step"] for batch in taken for metric in batch.get("metrics", ())]


def test_metrics_are_kept_while_the_registry_is_away() -> None:
    with Api("http://127.0.0.1:9", patience_seconds=0.2) as api:
        sink = RunSink(api, RUN, interval_seconds=0)
        for step in range(2):
            sink.emit(metrics(step))
        with pytest.raises(RegistryError, match=r"2 metric values were not sent to the run: .*does not answer"):
            sink.close()


@pytest.mark.timeout(60)
def test_a_training_never_waits_for_a_registry_that_hangs() -> None:
    answers = threading.Event()
    port = ports.choose(4900, set())
    with registry(port, answers) as taken, Api(f"http://127.0.0.1:{port}") as api:
        sink = RunSink(api, RUN, interval_seconds=0)
        sink.emit(STARTED)
        for step in range(STEPS):
            sink.emit(metrics(step))
        assert taken == []  # nothing was answered yet, and all was emitted
        answers.set()
        sink.close()
    assert steps(taken) == list(range(STEPS))
    parameters = {entry["key"]: entry["value"] for batch in taken for entry in batch.get("params", ())}
    assert parameters["network.parameters"] == "10"


def test_nothing_is_lost_when_the_registry_comes_back_within_the_run() -> None:
    answers = threading.Event()
    answers.set()
    port = ports.choose(4900, set())
    with Api(f"http://127.0.0.1:{port}", patience_seconds=0.1) as api:
        sink = RunSink(api, RUN, interval_seconds=0)
        for step in range(STEPS // 2):
            sink.emit(metrics(step))
        while sink._failure is None:  # an attempt has failed
            pass
        with registry(port, answers) as taken:
            for step in range(STEPS // 2, STEPS):
                sink.emit(metrics(step))
            sink.close()
    assert steps(taken) == list(range(STEPS))


@pytest.mark.timeout(60)
def test_what_does_not_fit_into_the_buffer_is_counted() -> None:
    answers = threading.Event()
    port = ports.choose(4900, set())
    with registry(port, answers) as taken, Api(f"http://127.0.0.1:{port}") as api:
        sink = RunSink(api, RUN, interval_seconds=0, max_values=10)
        for step in range(15):
            sink.emit(metrics(step))
        answers.set()
        with pytest.raises(RegistryError, match="5 metric values were not sent"):
            sink.close()
    assert steps(taken) == list(range(10))
