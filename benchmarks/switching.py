"""Switches of a served model under load: what they cost the requests, how fast they are, whether memory grows.

A real bundle of two workers and three versions of one small model (1.2 MB, half a millisecond an image). 32 keep-alive
connections ask without a pause while versions are staged, switched to and rolled back to by writing the service's
order, as a release does. Latencies during a switch (from the order to stage until every worker says the new version
serves) are compared with those in as long windows between the switches of the same run.

Then windows with and without a challenger in the shadow take turns.

    python -m benchmarks.switching [--switches 100] [--rollbacks 10] [--rest 1] [--shadows 8]
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks import figure, steady_load
from benchmarks.figure import Figure, tell
from components.contracts.pipeline import ServingOptions
from components.contracts.serving_spec import (
    SERVICE_FOLDER,
    ChallengerLimits,
    ChallengerSpec,
    RolloutPolicy,
    ServiceStatus,
    ServingSpec,
    SlotSpec,
)
from components.gates import load
from components.gates.load import Load
from components.packaging import requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from flows.platform import ports
from flows.platform.environment import QUIET
from tests import small_package

ROOT = Path(__file__).resolve().parents[1]
NAME = "switching"
WORKERS = 2
SETTLE_SECONDS = 150
FEW = 5  # switches, after which memory is what it should stay


@dataclass
class Switching:
    """A service that is told to switch, and when what happened."""

    folder: Path
    port: int
    slots: list[SlotSpec]
    generation: int = 0
    windows: list[tuple[float, float]] = field(default_factory=list)
    orders: list[tuple[float, str]] = field(default_factory=list)
    everywhere: list[float] = field(default_factory=list)
    alone: list[tuple[float, float]] = field(default_factory=list)
    shadowed: list[tuple[float, float]] = field(default_factory=list)
    compared: int = 0

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

    def shadow(self, seconds: float) -> None:
        """The champion alone, then as long with a challenger in its shadow."""
        limits = ChallengerLimits(max_error_rate=1.0, max_latency_ratio=1e6, min_requests=1)
        new = next(slot for slot in self.slots if slot not in (self.champion, self.previous))
        beside = ChallengerSpec(**new.model_dump(), policy=RolloutPolicy(canary_percent=0.0, limits=limits))
        for windows, challenger in ((self.alone, None), (self.shadowed, beside)):
            self.order(challenger=challenger)
            begin = time.perf_counter()
            time.sleep(seconds)
            windows.append((begin, time.perf_counter()))
        self.compared += sum(worker.challenger_stats.compared for worker in self.statement().workers)
        self.order()

    def to(self, new: SlotSpec) -> None:
        """Swap the champion for one that is held."""
        self.champion, self.previous = new, self.champion
        begin = time.perf_counter()
        self.orders.append((begin, new.version))
        self.order()
        self.everywhere.append(time.perf_counter() - begin)

    def order(self, staged: SlotSpec | None = None, challenger: ChallengerSpec | None = None) -> None:
        """Write an order and wait until every worker says that it is carried out."""
        self.generation += 1
        order = ServingSpec(
            generation=self.generation,
            champion=self.champion,
            previous=self.previous,
            staged=staged,
            challenger=challenger,
        )
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

    def statement(self) -> ServiceStatus:
        """What the workers say."""
        return ServiceStatus.model_validate_json(self.client.get("/status").content)

    def memory(self) -> float:
        """MiB that the workers do not share with anyone else, together."""
        workers = [psutil.Process(worker.worker) for worker in self.statement().workers]
        return sum(process.memory_full_info().uss for process in workers) / 2**20


def measure(switches: int = 100, rollbacks: int = 10, rest: float = 1.0, shadows: int = 8) -> list[Figure]:
    """Failures, latencies during switches and between them, times to switch, memory after 5 and after all."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        folder = Path(name)
        tell("building a bundle")
        bundle, slots = _bundles(folder)
        with _serving(bundle, folder / "service") as port:
            return _measure(Switching(folder / "service", port, slots), switches, rollbacks, rest, shadows)


def _measure(service: Switching, switches: int, rollbacks: int, rest: float, shadows: int) -> list[Figure]:
    request = load.post("/predict", small_package.image(0), "image/png", service.port)
    with steady_load.during(request, service.port) as loaded:
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
        for _ in range(shadows):
            service.shadow(5.0)
    service.client.close()
    done = loaded[0]
    during = steady_load.within(done, service.windows)
    # Windows of the same lengths, since long requests are more likely to touch one; each from the middle of the rest
    # before a switch.
    between = steady_load.within(
        done, [(begin - rest / 2 - (end - begin), begin - rest / 2) for begin, end in service.windows]
    )
    tell(f"{done.rate:.0f} requests/s; {len(during)} answers during switches, {len(between)} between")
    at_rest, while_switching = (steady_load.percentile(values, 99) for values in (between, during))
    slow = steady_load.percentile(service.everywhere, 95)
    first = _first_answers(done, service.orders)
    return [
        Figure(NAME, f"requests not answered, {switches} switches and {rollbacks} rollbacks", done.errors, at_most=0),
        Figure(NAME, "p99 between switches", round(at_rest, 1), "ms"),
        Figure(NAME, "p99 during switches", round(while_switching, 1), "ms"),
        Figure(NAME, "ratio", round(while_switching / at_rest, 2), "x", at_most=2),
        Figure(NAME, "order to first answer by the new version, median", round(statistics.median(first), 3), "s"),
        Figure(NAME, "... p95", round(steady_load.percentile(first, 95) / 1000, 3), "s"),
        Figure(NAME, "order until every worker says so, p95", round(slow / 1000, 3), "s", at_most=1),
        Figure(NAME, f"memory of {WORKERS} workers after {FEW} switches", round(few), "MiB"),
        Figure(NAME, f"... after {switches} and {rollbacks} rollbacks", round(many), "MiB"),
        Figure(NAME, "ratio", round(many / few, 3), "x", at_most=1.1),
        *_shadow(done, service),
    ]


def _shadow(done: Load, service: Switching) -> list[Figure]:
    """What a challenger in the shadow costs at full load, where it gets what the champion leaves."""
    alone, beside = ([_count(done, *window) for window in windows] for windows in (service.alone, service.shadowed))
    tails = [steady_load.percentile(steady_load.within(done, some), 99) for some in (service.alone, service.shadowed)]
    rate = round(sum(beside) / sum(alone), 3)
    return [
        Figure(NAME, "requests/s with a challenger in the shadow against without, at full load", rate, "x"),
        Figure(NAME, "... p99", round(tails[1] / tails[0], 2), "x"),
        Figure(NAME, "... share of the requests that it got", round(service.compared / max(1, sum(beside)), 3)),
    ]


def _count(done: Load, begin: float, end: float) -> int:
    return bisect_left(done.ends, end) - bisect_left(done.ends, begin)


def _bundles(folder: Path) -> tuple[Bundle, list[SlotSpec]]:
    """A real bundle to run, and three versions to hold."""
    package = small_package.build(folder / "package", slow=5)
    request = BundleRequest(
        model="sample",
        version="0",
        key="0" * 64,
        package=str(package.folder),
        home=str(folder / "home"),
        source_root=str(ROOT),
        requirements=requirements.pinned(ROOT / "requirements.lock", small_package.LIBRARIES),
        serving=ServingOptions(workers=WORKERS),
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


def _settle(service: Switching) -> None:
    """Wait until the workers' memory stays: it grows by a fifth in the first 25,000 requests, without any switch."""
    seen = [service.memory()]
    for _ in range(SETTLE_SECONDS // 10):
        time.sleep(10)
        seen.append(service.memory())
        tell(f"before any switch, memory of the workers {seen[-1]:.0f} MiB")
        if len(seen) > 3 and seen[-1] < 1.005 * seen[-3]:
            break


def _first_answers(done: Load, orders: list[tuple[float, str]]) -> list[float]:
    """Seconds from each order to the first answer by its version."""
    found = []
    for written, version in orders:
        place = bisect_left(done.ends, written)
        word = version.encode()
        first = next(index for index in range(place, len(done.ends)) if done.versions[index] == word)
        found.append(done.ends[first] - written)
    return found


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--switches", type=int, default=100)
    options.add_argument("--rollbacks", type=int, default=10)
    options.add_argument("--rest", type=float, default=1.0, help="seconds between two switches")
    options.add_argument("--shadows", type=int, default=8, help="windows with a challenger in the shadow")
    sys.exit(figure.command(measure, options))
