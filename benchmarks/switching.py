"""Switches of a served model under load: what they cost the requests, how fast they are, whether memory grows.

A real bundle of two workers and three versions of one small model (1.2 MB, half a millisecond an image). 32 keep-alive
connections ask without a pause while versions are staged, switched to and rolled back to by writing the service's
order, as a release does. Latencies during a switch (from the order to stage until every worker says the new version
serves) are compared with those in as long windows between the switches of the same run.

    python -m benchmarks.switching [--switches 100] [--rollbacks 10] [--rest 1]
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.pipeline import ServingSpec
from components.contracts.serving_order import SERVICE_FOLDER, ServiceStatement, ServingOrder, Slot
from components.gates import load
from components.gates.load import Load
from components.packaging import requirements
from components.packaging.bundle import Bundle, BundleRequest
from flows.environment import QUIET
from flows.stack import ports
from tests import small_package

ROOT = Path(__file__).resolve().parents[1]
NAME = "switching"
CONNECTIONS = 32
WORKERS = 2
SETTLE_SECONDS = 150
LONGEST = 10.0  # seconds that a request may take
FEW = 5  # switches, after which memory is what it should stay


@dataclass
class Switching:
    """A service that is told to switch, and when what happened."""

    folder: Path
    port: int
    slots: list[Slot]
    generation: int = 0
    windows: list[tuple[float, float]] = field(default_factory=list)
    orders: list[tuple[float, str]] = field(default_factory=list)
    everywhere: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, verify=False, timeout=60)
        self.champion, self.previous = self.slots[0], self.slots[-1]
        self.order()

    def switch(self) -> None:
        """Stage a version that is not held, then make it champion."""
        new = next(slot for slot in self.slots if slot not in (self.champion, self.previous))
        begin = time.perf_counter()
        self.order(staged=new)
        self.to(new)
        self.windows.append((begin, time.perf_counter()))

    def roll_back(self) -> None:
        """Make the previous one champion."""
        begin = time.perf_counter()
        self.to(self.previous)
        self.windows.append((begin, time.perf_counter()))

    def to(self, new: Slot) -> None:
        """Swap the champion for one that is held."""
        self.champion, self.previous = new, self.champion
        begin = time.perf_counter()
        self.orders.append((begin, new.version))
        self.order()
        self.everywhere.append(time.perf_counter() - begin)

    def order(self, staged: Slot | None = None) -> None:
        """Write an order and wait until every worker says that it is carried out."""
        self.generation += 1
        order = ServingOrder(generation=self.generation, champion=self.champion, previous=self.previous, staged=staged)
        order.write(self.folder)
        until = time.monotonic() + 60
        while True:
            said = self.statement()
            if len(said.workers) == WORKERS and {worker.generation for worker in said.workers} == {self.generation}:
                break
            assert time.monotonic() < until, "the workers do not carry the order out"
            time.sleep(0.01)
        failed = [
            held for worker in said.workers for held in (worker.champion_failed, worker.staged) if held and held.reason
        ]
        assert not failed, failed

    def statement(self) -> ServiceStatement:
        """What the workers say."""
        return ServiceStatement.model_validate_json(self.client.get("/release").content)

    def memory(self) -> float:
        """MiB that the workers do not share with anyone else, together."""
        workers = [psutil.Process(worker.worker) for worker in self.statement().workers]
        return sum(process.memory_full_info().uss for process in workers) / 2**20


def measure(switches: int = 100, rollbacks: int = 10, rest: float = 1.0) -> list[Figure]:
    """Failures, latencies during switches and between them, times to switch, memory after 5 and after all."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        folder = Path(name)
        tell("building a bundle")
        bundle, slots = _bundles(folder)
        with _serving(bundle, folder / "service") as port:
            return _measure(Switching(folder / "service", port, slots), switches, rollbacks, rest)


def _measure(service: Switching, switches: int, rollbacks: int, rest: float) -> list[Figure]:
    with _load(service) as loaded:
        _settle(service)
        for number in range(1, switches + 1):
            service.switch()
            if number == min(FEW, switches):
                few = service.memory()
            if number % 10 == 0:
                tell(f"{number} switches, memory of the workers {service.memory():.0f} MiB")
            time.sleep(rest)
        for _ in range(rollbacks):
            service.roll_back()
            time.sleep(rest)
        many = service.memory()
    service.client.close()
    load = loaded[0]
    during = _within(load, service.windows)
    # Windows of the same lengths, since long requests are more likely to touch one; each from the middle of the rest
    # before a switch.
    between = _within(load, [(begin - rest / 2 - (end - begin), begin - rest / 2) for begin, end in service.windows])
    tell(f"{load.rate:.0f} requests/s; {len(during)} answers during switches, {len(between)} between")
    at_rest, while_switching = (_percentile(values, 99) for values in (between, during))
    first = _first_answers(load, service.orders)
    return [
        Figure(NAME, f"requests not answered, {switches} switches and {rollbacks} rollbacks", load.errors, at_most=0),
        Figure(NAME, "p99 between switches", round(at_rest, 1), "ms"),
        Figure(NAME, "p99 during switches", round(while_switching, 1), "ms"),
        Figure(NAME, "ratio", round(while_switching / at_rest, 2), "x", at_most=2),
        Figure(NAME, "order to first answer by the new version, median", round(statistics.median(first), 3), "s"),
        Figure(NAME, "... p95", round(_percentile(first, 95) / 1000, 3), "s"),
        Figure(NAME, "order until every worker says so, p95", round(_percentile(service.everywhere, 95) / 1000, 3),
               "s", at_most=1),
        Figure(NAME, f"memory of {WORKERS} workers after {FEW} switches", round(few), "MiB"),
        Figure(NAME, f"... after {switches} and {rollbacks} rollbacks", round(many), "MiB"),
        Figure(NAME, "ratio", round(many / few, 3), "x", at_most=1.1),
    ]  # fmt: skip


def _bundles(folder: Path) -> tuple[Bundle, list[Slot]]:
    """A real bundle to run, and three versions to hold."""
    package = small_package.build(folder / "package", slow=5)
    request = BundleRequest(
        model="sample",
        version="0",
        key="0" * 64,
        package=str(package.folder),
        home=str(folder / "home"),
        source_root=str(ROOT),
        requirements=requirements.pinned(ROOT / "requirements.lock"),
        serving=ServingSpec(workers=WORKERS),
    )
    (folder / "request.json").write_text(request.model_dump_json())
    words = [sys.executable, "-m", "components.packaging", str(folder / "request.json")]
    subprocess.run(words, cwd=ROOT, env={**os.environ, **QUIET}, check=True, stdout=sys.stderr)
    versions = [str(number) for number in range(1, 4)]
    slots = [small_package.bundle(folder / version, version, seed=int(version), slow=5) for version in versions]
    return Bundle(folder / "home", "sample", request.key), slots


@contextmanager
def _serving(bundle: Bundle, folder: Path) -> Iterator[int]:
    folder.mkdir()
    port = ports.choose(3200, set())
    words = [sys.executable, "-m", "bentoml", "serve", str(bundle.folder), "--host", "127.0.0.1", "--port", str(port)]
    variables = {"BENTOML_HOME": str(folder), SERVICE_FOLDER: str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(words, env={**os.environ, **QUIET, **variables}, stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (folder / "log").read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _load(service: Switching) -> Iterator[list[Load]]:
    """Load from the begin of the block to its end; what came of it is in the list then."""
    end, found = threading.Event(), list[Load]()
    request = load.post("/predict", small_package.image(0), "image/png", service.port)

    def run() -> None:
        found.append(load.run(request, service.port, connections=CONNECTIONS, seconds=3600, end=end))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def _settle(service: Switching) -> None:
    """Wait until the workers' memory stays: it grows by a fifth in the first 25,000 requests, without any switch."""
    seen = [service.memory()]
    for _ in range(SETTLE_SECONDS // 10):
        time.sleep(10)
        seen.append(service.memory())
        tell(f"before any switch, memory of the workers {seen[-1]:.0f} MiB")
        if len(seen) > 3 and seen[-1] < 1.005 * seen[-3]:
            break


def _within(load: Load, windows: list[tuple[float, float]]) -> list[float]:
    """Latencies of the requests that were on their way at any time in a window."""
    found: list[float] = []
    for begin, end in windows:
        for index in range(bisect_left(load.ends, begin), len(load.ends)):
            if load.ends[index] > end + LONGEST:
                break
            if load.ends[index] - load.latencies[index] < end:
                found.append(load.latencies[index])
    return found


def _first_answers(load: Load, orders: list[tuple[float, str]]) -> list[float]:
    """Seconds from each order to the first answer by its version."""
    found = []
    for written, version in orders:
        place = bisect_left(load.ends, written)
        word = version.encode()
        first = next(index for index in range(place, len(load.ends)) if load.versions[index] == word)
        found.append(load.ends[first] - written)
    return found


def _percentile(seconds: list[float], percent: int) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--switches", type=int, default=100)
    options.add_argument("--rollbacks", type=int, default=10)
    options.add_argument("--rest", type=float, default=1.0, help="seconds between two switches")
    sys.exit(figure.command(measure, options))
