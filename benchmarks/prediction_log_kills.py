"""SIGKILL of a service's worker under load, again and again: what of its prediction log is lost.

Clients note the id of each answer that they received, and when. Afterwards the hour is sealed, and the log is compared
with the notes: an answer that was received and is not in the log was lost with the kill that followed it.

    python -m benchmarks.prediction_log_kills [--kills 50] [--clients 4]
"""

from __future__ import annotations

import http.client
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pyarrow.parquet as pq

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.prediction_log import PREDICTION_HEADER
from components.contracts.serving_spec import WORKER_HEADER
from components.identity import manifest as manifests
from components.monitoring import sealing
from flows.platform import running, services, state
from tests import small_package
from tests.endtoend.releases import Releases
from tests.house import House
from tests.project_copy import running_copy
from tests.waiting import eventually

NAME = "prediction_log_kills"
MODEL = "logged"
PATIENCE_SECONDS, RELEASE_SECONDS = 60, 600
HEADERS = {"content-type": "image/png"}


@dataclass
class Client:
    """Asks without a pause, and notes what it receives.

    Attributes:
        received: ids of answers, each with the time at which it was received and the worker that gave it.
        broken: requests without an answer, as the worker was killed or was not there.
    """

    url: str
    received: list[tuple[str, float, int]] = field(default_factory=list)
    broken: int = 0
    _end: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        address, content = urlsplit(self.url), small_package.image(0)
        while not self._end.is_set():
            connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
            try:
                while not self._end.is_set():
                    connection.request("POST", "/predict", content, HEADERS)
                    answer = connection.getresponse()
                    answer.read()
                    name = answer.getheader(PREDICTION_HEADER)
                    if answer.status == 200 and name is not None:
                        self.received.append((name, time.time(), int(answer.getheader(WORKER_HEADER, "0"))))
                    else:
                        self.broken += 1
            except (OSError, http.client.HTTPException):
                self.broken += 1
                time.sleep(0.01)
            finally:
                connection.close()

    def stop(self) -> None:
        """Ask no more."""
        self._end.set()


def measure(kills: int = 50, clients: int = 4) -> list[Figure]:
    """What is lost with each kill, and whether log and clients agree."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, running_copy(Path(folder) / "project") as house:
        releases = Releases(house)
        releases.pipeline(MODEL)
        releases.register(MODEL)
        releases.set(MODEL, "1")
        eventually(lambda: releases.serves(MODEL) == "1", f"{MODEL} serves", RELEASE_SECONDS)
        asking = [Client(str(releases.service(MODEL).url)) for _ in range(clients)]
        threads = [threading.Thread(target=client.run) for client in asking]
        for thread in threads:
            thread.start()
        times = dict(_kill(house, asking, number) for number in range(kills))
        for client in asking:
            client.stop()
        for thread in threads:
            thread.join()
        services.stop_serving(house.project, MODEL)
        log = house.project.predictions(MODEL)
        lines = sum(path.stat().st_size for path in log.rglob("*.jsonl"))
        sealed = [*sealing.sealed_hours(log), *sealing.seal_closed(log, time.time() + 2 * 3600)]
        return _figures(asking, times, sealed, lines)


def _kill(house: House, clients: list[Client], number: int) -> tuple[int, float]:
    """Kill the worker, and wait until another one answers; the process, and when it was killed, seconds since 1970."""
    time.sleep(1 + random.random())  # at any place of a write
    record = running.read(state.folder(house.project), f"serve-{MODEL}")
    if record is None:
        raise SystemExit("the service does not run")
    (worker,) = psutil.Process(record.identity.pid).children()
    os.kill(worker.pid, signal.SIGKILL)
    killed = time.time()
    worker.wait(PATIENCE_SECONDS)
    before = sum(len(client.received) for client in clients)
    until = time.monotonic() + PATIENCE_SECONDS
    while sum(len(client.received) for client in clients) < before + 2 * len(clients):
        if time.monotonic() > until:
            raise SystemExit(f"no answer within {PATIENCE_SECONDS} s after kill {number + 1}")
        time.sleep(0.02)
    tell(f"kill {number + 1}: {before} answers so far; back after {time.time() - killed:.1f} s")
    return worker.pid, killed


def _figures(
    clients: list[Client], kills: dict[int, float], sealed: list[sealing.SealedHour], lines: int
) -> list[Figure]:
    received = {name: (at, worker) for client in clients for name, at, worker in client.received}
    logged: Counter[str] = Counter()
    torn = dropped = stated = 0
    for hour in sealed:
        facts = manifests.verify(hour.folder, "predictions").facts
        torn += facts["unreadable_lines"]
        dropped += facts["dropped_requests"]
        stated += facts["predictions"]
        logged.update(pq.read_table(hour.folder / sealing.PREDICTIONS, columns=["id"])["id"].to_pylist())
    # Seconds before each kill, of the earliest answer that was lost with it.
    lost, counts, unexplained = dict.fromkeys(kills, 0.0), dict.fromkeys(kills, 0), 0
    for name, (at, worker) in received.items():
        if name in logged:
            continue
        if worker not in kills:
            unexplained += 1
            continue
        lost[worker] = max(lost[worker], kills[worker] - at)
        counts[worker] += 1
    answers, per_kill = len(received), sum(counts.values()) / len(kills)
    unseen = sum(name not in received for name in logged)
    tell(f"{answers} answers received, {sum(logged.values())} logged in {lines} bytes; {sum(counts.values())} lost")
    return [
        Figure(NAME, f"{len(kills)} kills, {answers} answers received: most log lost with one kill",
               round(max(lost.values()), 3), "s", at_most=1.0),
        Figure(NAME, "answers lost a kill, on average", round(per_kill, 1)),
        Figure(NAME, "answers that are missing without a kill after them, beside those that were counted as dropped",
               max(0, unexplained - dropped), at_most=0),
        Figure(NAME, "ids that are in the sealed log twice", sum(count > 1 for count in logged.values()), at_most=0),
        Figure(NAME, "rows of the sealed files against their manifests: difference",
               abs(stated - sum(logged.values())), at_most=0),
        Figure(NAME, "answers in the log that no client received (each kill cuts one off for each client)", unseen,
               at_most=len(clients) * len(kills)),
        Figure(NAME, "lines cut off by a kill, counted and left out when the hour was sealed", torn,
               at_most=len(kills)),
    ]  # fmt: skip


if __name__ == "__main__":
    options = figure.parser(__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--clients", type=int, default=4)
    sys.exit(figure.command(measure, options))
