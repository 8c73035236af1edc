"""Trainings as jobs of a process work pool, killed with -9 at random moments, and run again until they are done.

Prefect's own server and worker, the worker in another folder, which has none of our code. In each round a training of
digits is submitted by a process of its own, and a random time after it has begun, one of these is killed: the
submitter, the flow run, the job, its training, the worker (its jobs live on), Prefect's server; and, once in ten
rounds, the whole machine, which is the worker with all of its jobs. A worker is started again two seconds later, as a
service manager does. Then the training is submitted again, as a person would, until it ends well.

    python -m benchmarks.pool_kills [--kills 40] [--seed 0]
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import figure, job_kills
from benchmarks.figure import Figure, tell
from components.contracts.runner_spec import PoolSpec
from components.core.project import Project
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import stage_runner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import FLOW, OPEN, PoolEngine
from tests.endtoend.pool_runs import Worker
from tests.house import House
from tests.project_copy import running_copy
from tests.runners.digits_requests import ROOT

NAME, POOL = "pool_kills", "machines"
PROCESSES = {  # words of their command lines
    "flow run": "-m prefect.engine",
    "job": "-m flows.runners.node_job",
    "training": "-m components.training",
    "server": "flows.platform.prefect_server:create_app",
}
VICTIMS = ("submitter", *PROCESSES, "worker")
MACHINE, MACHINE_EACH = "machine", 10
LONGEST_SECONDS, ROUND_SECONDS = 5.0, 900.0  # a run that a killed worker had taken is given up after ten minutes


@dataclass(frozen=True)
class _Pool:
    """What a round needs."""

    folder: Path
    house: House
    worker: Worker
    client: PrefectClient


def main() -> int:
    """0: the targets are met; 1: not."""
    if sys.argv[1:2] == ["--submit"]:
        return _submit(Path(sys.argv[2]))
    parser = figure.parser(__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    return figure.command(measure, parser)


def measure(kills: int = 40, seed: int = 0) -> list[Figure]:
    """What became of so many rounds."""
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with running_copy(folder / "house") as house:
            server = connections.configured(house.project)
            with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
                client.request("POST", "/work_pools/", {"name": POOL, "type": "process"})
                worker = Worker(house, folder / "machine", POOL)
                try:
                    return _measured(_Pool(folder, house, worker, client), kills, random.Random(seed))
                finally:
                    worker.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(pool: _Pool, kills: int, chance: random.Random) -> list[Figure]:
    project, _, request = job_kills.asked(pool.folder, 1, first=True)
    local = stage_runner.run(LocalProcessRunner(project.root), request, _quiet, _quiet)
    expected = job_kills.digests_of(local)
    found: Counter[str] = Counter()
    for number in range(1, kills + 1):
        shutil.rmtree(project.state / "runs", ignore_errors=True)
        shutil.rmtree(pool.folder / "store", ignore_errors=True)
        victim = VICTIMS[number % len(VICTIMS)] if number % MACHINE_EACH else MACHINE
        moment, begun = chance.uniform(0.0, LONGEST_SECONDS), time.monotonic()
        hit, digests, attempts = _round(pool, victim, moment)
        seconds = time.monotonic() - begun
        found["killed"] += hit
        found["not converged"] += digests is None
        found["otherwise"] += digests not in (None, expected)
        found["left over"] += _left_over(pool)
        found["attempts"] += attempts
        found["longest"] = max(found["longest"], round(seconds))
        what = victim if hit else f"no {victim}"
        tell(f"{number}: {what} after {moment:.1f} s, {attempts} attempts, {seconds:.0f} s")
    return job_kills.figures(NAME, found, (*VICTIMS, MACHINE), kills)


def _round(pool: _Pool, victim: str, moment: float) -> tuple[bool, list[str] | None, int]:
    """One training until its end; whether the kill hit, the digests of what it made, and how often it was asked for."""
    deadline, hit, attempts = time.monotonic() + ROUND_SECONDS, False, 0
    while attempts < job_kills.ATTEMPTS and time.monotonic() < deadline:
        attempts += 1
        words = [sys.executable, "-m", "benchmarks.pool_kills", "--submit", str(pool.folder)]
        submitter = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if attempts == 1:
            _wait_until_it_runs(pool, "training" if victim == MACHINE else victim, submitter)
            with suppress(subprocess.TimeoutExpired):
                submitter.wait(moment)
            hit = _kill(pool, victim, submitter)
        with suppress(subprocess.TimeoutExpired):
            submitter.wait(max(deadline - time.monotonic(), 1.0))
        submitter.kill()
        output, _ = submitter.communicate()
        if submitter.returncode == 0:
            return hit, json.loads(output.splitlines()[-1]), attempts
        _wait_for_the_server(pool.client)
    return hit, None, attempts


def _wait_until_it_runs(pool: _Pool, what: str, submitter: subprocess.Popen[str]) -> None:
    """Wait until a worker, which asks for new flow runs each second or so, has begun one, and it has come so far."""
    while not _of_round(pool, what if what in PROCESSES else "flow run") and submitter.poll() is None:
        time.sleep(0.1)


def _kill(pool: _Pool, victim: str, submitter: subprocess.Popen[str]) -> bool:
    """Kill it with -9, and start a worker again. Whether it was there."""
    if victim == "submitter":
        hit = submitter.poll() is None
        submitter.kill()
        return hit
    if victim == MACHINE:
        hit = bool(_of_round(pool, "flow run"))
        everyone = [process for what in ("flow run", "job", "training") for process in _of_round(pool, what)]
        pool.worker.kill()
        for process in everyone:
            with suppress(psutil.Error):
                process.kill()
    elif victim == "worker":
        hit = submitter.poll() is None
        pool.worker.process.kill()
        pool.worker.process.wait()
    else:
        hit = bool(_signalled(_of_round(pool, victim)))
    if victim in (MACHINE, "worker"):
        time.sleep(2)
        pool.worker.start_again()
    return hit


def _signalled(found: list[psutil.Process]) -> int:
    for process in found:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    return len(found)


def _of_round(pool: _Pool, what: str) -> list[psutil.Process]:
    """The processes of this benchmark's folder alone: others may measure at the same time."""
    found = []
    for process in job_kills.processes(PROCESSES[what]):
        with suppress(psutil.Error):
            homes = (job_kills.line_of(process), process.cwd(), process.environ().get("PREFECT_HOME", ""))
            if str(pool.folder) in " ".join(homes):
                found.append(process)
    return found


def _left_over(pool: _Pool) -> int:
    """Flow runs that are open and folders of jobs, once all had the time to end."""
    for _ in range(20):
        asked = {"flow_runs": {"state": {"type": {"any_": list(OPEN)}}}, "flows": {"name": {"any_": [FLOW]}}}
        found = len(pool.client.request("POST", "/flow_runs/filter", asked))
        found += len(list((pool.folder / "jobs").glob("*/modelyard-*")))
        if found == 0:
            return 0
        time.sleep(1)
    return found


def _wait_for_the_server(client: PrefectClient) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(Exception):  # whatever it is: it does not answer yet
            client.request("GET", "/health")
            return
        time.sleep(1)


def _submit(folder: Path) -> int:
    server = connections.configured(Project(folder / "house"))
    with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
        return job_kills.submit(folder, 1, PoolEngine(PoolSpec(runner="pool", pool=POOL), client, _quiet))


def _quiet(_line: str) -> None:
    """Nothing is shown of the stage."""


if __name__ == "__main__":
    sys.exit(main())
