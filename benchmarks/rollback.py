"""From the start of `modelyard rollback` to the moment when every worker answers with the version before.

A copy of the project with its whole stack, and one service of two workers. The order is given at rest, while the gates
of another version run, while a person's approval is waited for, with MLflow and Prefect answering nothing, and with a
syntax error in the serving code of the working tree. All the time clients ask; the bundle that serves is read byte by
byte before and after each way there and back.

    python -m benchmarks.rollback [--times 10] [--only TEXT]
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.release import production as productions
from tests import small_package
from tests.endtoend import faults
from tests.endtoend.releases import Releases
from tests.project_copy import running_copy
from tests.waiting import eventually

NAME = "rollback"
MODEL = "rollback"
WORKERS = 2
CLIENTS = 4


@dataclass
class Clients:
    """Ask production all the time, each through a kept connection, and note what failed."""

    url: str
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Clients:
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        content, headers = small_package.image(0), {"content-type": "application/octet-stream"}
        with httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=30) as client:
            while not self._stop.wait(0.02):
                try:
                    answer = client.post("/predict", content=content, headers=headers)
                except httpx.HTTPError as error:
                    self.failed.append(repr(error))
                    continue
                self.requests += 1
                if answer.status_code != 200:
                    self.failed.append(f"{answer.status_code}: {answer.text[:200]}")


def measure(times: int = 10, only: str = "") -> list[Figure]:
    """The 95th percentile in each situation, failed requests, and whether the bundle was the same."""
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        running_copy(Path(folder) / "project") as house,
    ):
        releases = Releases(house)
        path = releases.house.project.pipeline_file(releases.pipeline(MODEL))
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "serving": {"workers": WORKERS}}))
        for seed in (1, 2):
            releases.register(MODEL, seed=seed)
            releases.set(MODEL, str(seed))
            releases.wait_until_serves(MODEL, str(seed))
        spare = [releases.register(MODEL, seed=10 + number) for number in range(2 * times)]
        bundles = [_bundle(releases)]
        found: list[Figure] = []
        with Clients(releases.service(MODEL).url or "") as clients:
            for what, situation in (
                ("at rest", lambda _: contextlib.nullcontext()),
                ("while gates run", lambda turn: faults.gates_running(releases, MODEL, spare[turn])),
                ("while an approval waits", lambda turn: faults.approval_pending(releases, MODEL, spare[times + turn])),
                ("MLflow and Prefect answer nothing", lambda _: faults.suspended(house, "mlflow", "prefect")),
                ("serving code of the tree broken", lambda _: faults.broken_tree(house)),
            ):
                if only not in what:
                    continue
                seconds = []
                for turn in range(times):
                    with situation(turn):
                        time.sleep(2)  # it goes on
                        seconds.append(_roll_back(releases))
                    eventually(lambda: releases.alias(MODEL) == "1", "the registry was told")
                    releases.set(MODEL, "2")
                    releases.wait_until_serves(MODEL, "2")
                    bundles.append(_bundle(releases))
                tell(f"{what}: {', '.join(f'{value:.2f}' for value in seconds)}")
                p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
                found.append(Figure(NAME, f"{what}: 95th percentile of {times}", round(p95, 2), "s", at_most=2))
        for text in clients.failed[:5]:
            tell(text)
    same = sum(bundle == bundles[0] for bundle in bundles[1:])
    return [
        *found,
        Figure(NAME, f"failed of {clients.requests} requests meanwhile", len(clients.failed), at_most=0),
        Figure(NAME, f"same bundle after going away and back, of {len(bundles) - 1}", same, at_least=len(bundles) - 1),
    ]


def _roll_back(releases: Releases) -> float:
    """Order it by command; the seconds until every worker answers with version 1."""
    begun = time.monotonic()
    command = releases.house.start("rollback", MODEL)
    try:
        while not _all_hold(releases, "1"):
            assert time.monotonic() - begun < 60, "the workers do not follow"
            time.sleep(0.01)
        return time.monotonic() - begun
    finally:
        command.communicate()


def _all_hold(releases: Releases, version: str) -> bool:
    status = releases.says(MODEL)
    return (
        status is not None
        and len(status.workers) >= WORKERS
        and all(worker.champion is not None and worker.champion.version == version for worker in status.workers)
    )


def _bundle(releases: Releases) -> str:
    """Digest of the pinned champion's bundle, read byte by byte."""
    pin = productions.decided(releases.entries(MODEL)).production.champion
    assert pin is not None
    return releases.service(MODEL).bundle(pin).verify().digest


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--times", type=int, default=10, help="in each situation (default: %(default)s)")
    options.add_argument("--only", default="", help="situations whose name contains this (default: all)")
    sys.exit(figure.command(measure, options))
