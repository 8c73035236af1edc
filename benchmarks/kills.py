"""Each part of a stack killed with SIGKILL while clients ask its service: what they notice, and when all is back.

python -m benchmarks.kills [--clients 4]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from flows.platform import running, stack_status, state, supervisor
from tests import small_package
from tests.endtoend.releases import Releases
from tests.house import House
from tests.project_copy import running_copy

NAME = "kills"
MODEL = "kills"
PARTS = ("supervisor", "controller", "runner", "mlflow", "prefect", "worker")
PATIENCE_SECONDS = 120
BACK_SECONDS = 15


@dataclass
class Load:
    """Clients that ask without a pause longer than 20 ms, with a new connection after 20 requests."""

    url: str
    answered: int = 0
    failed: list[str] = field(default_factory=list)
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        headers = {"content-type": "application/octet-stream"}
        while not self._end.is_set():
            try:
                with httpx.Client(base_url=self.url, trust_env=False, verify=False, timeout=30) as client:
                    for _ in range(20):
                        answer = client.post("/predict", content=small_package.image(0), headers=headers)
                        if answer.is_success:
                            self.answered += 1
                        else:
                            self.failed.append(f"HTTP {answer.status_code}")
                        time.sleep(0.02)
            except httpx.HTTPError as error:
                self.failed.append(repr(error))

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()


def measure(clients: int = 4) -> list[Figure]:
    """Seconds until all is ready again, and failed requests, for each part."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, running_copy(Path(folder) / "project") as house:
        releases = Releases(house)
        releases.pipeline(MODEL)
        releases.register(MODEL)
        releases.set(MODEL, "1")
        releases.wait_until_serves(MODEL, "1")
        load = Load(str(releases.service(MODEL).url))
        threads = [threading.Thread(target=load.run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for part in PARTS:
            failed, answered = len(load.failed), load.answered
            seconds = _kill(house, part)
            lost = len(load.failed) - failed
            tell(f"{part}: back after {seconds:.1f} s; {load.answered - answered} answered, {lost} failed")
            found.append(Figure(NAME, f"{part}: all ready after", round(seconds, 1), "s", at_most=BACK_SECONDS))
            # What a killed worker was answering is lost: at most one request of each client.
            found.append(Figure(NAME, f"{part}: failed requests", lost, at_most=clients if part == "worker" else 0))
        load.stop()
        for thread in threads:
            thread.join()
    return found


def _kill(house: House, part: str) -> float:
    project = house.project
    if part == "supervisor":
        pid = supervisor.pid(project)
    elif part == "worker":
        record = running.read(state.folder(project), f"serve-{MODEL}")
        assert record is not None
        pid = psutil.Process(record.identity.pid).children()[0].pid
    else:
        record = running.read(state.folder(project), part)
        assert record is not None
        pid = record.identity.pid
    assert pid is not None
    begin = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    while time.monotonic() - begin < PATIENCE_SECONDS:
        if supervisor.pid(project) and all(row.state == "ready" for row in stack_status.status(project)):
            break
        time.sleep(0.1)
    seconds = time.monotonic() - begin
    time.sleep(2)
    return seconds


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--clients", type=int, default=4)
    sys.exit(figure.command(measure, options))
