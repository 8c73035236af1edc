"""What a stage costs beyond itself as a job of Slurm: from the request to the collected result, against the same here.

A real Slurm of two nodes on this machine, in a temporary folder (slurmctld, slurmd and munged have to be installed, and
it needs root); the stage is the evaluation of a small model of digits, which was trained before. With `--nodes 2` it
is the training, in two processes: here, and on two nodes. With `--pool` the evaluation goes through a process work
pool of Prefect instead, to Prefect's own worker in another folder.

    python -m benchmarks.remote_stage [--pairs 5] [--nodes 2 | --pool]
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import PoolSpec, SlurmSpec
from components.contracts.stage_request import StageRequest
from components.core import located_yaml
from components.core.project import Project
from flows.pipelines import fingerprints
from flows.platform import connections
from flows.platform.prefect_client import PrefectClient
from flows.runners import stage_runner
from flows.runners.job_engine import JobEngine
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.pool_engine import PoolEngine
from flows.runners.slurm_engine import SlurmEngine
from flows.runners.stage_runner import StageRunner
from tests.endtoend.pool_runs import Worker
from tests.project_copy import running_copy
from tests.runners import slurm_cluster
from tests.runners.digits_requests import ROOT, requests
from tests.training.prepared_digits import prepare

NAME = "remote_stage"
POOL = "machines"


def main() -> int:
    """0: the target is met; 1: not; 2: there is no Slurm here."""
    parser = figure.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 2))
    parser.add_argument("--pool", action="store_true", help="a process work pool of Prefect, in place of Slurm")
    if "--pool" not in sys.argv and (why := slurm_cluster.missing()) is not None:
        print(why, file=sys.stderr)
        return 2
    return figure.command(measure, parser)


def measure(pairs: int = 5, nodes: int = 1, pool: bool = False) -> list[Figure]:
    """Medians of so many pairs."""
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        if pool:
            return _measured_through_a_pool(folder, pairs)
        with slurm_cluster.running(folder / "c"):
            engine = SlurmEngine(SlurmSpec(runner="slurm", nodes=nodes))
            return _measured(folder, pairs, nodes, engine, "Slurm", at_most=5)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured_through_a_pool(folder: Path, pairs: int) -> list[Figure]:
    with running_copy(folder / "house") as house:
        server = connections.configured(house.project)
        with PrefectClient(server.prefect_credentials, server.prefect_api) as client:
            client.request("POST", "/work_pools/", {"name": POOL, "type": "process"})
            worker = Worker(house, folder / "machine", POOL)
            try:
                engine = PoolEngine(PoolSpec(runner="pool", pool=POOL), client, _quiet)
                return _measured(folder, pairs, 1, engine, "a process work pool", at_most=15)
            finally:
                worker.stop()


def _measured(
    folder: Path, pairs: int, nodes: int, engine: JobEngine, name_of_engine: str, at_most: float
) -> list[Figure]:
    project = Project(folder / "project")
    prepare(project.dataset("digits") / "prepared")
    settings = {"train.epochs": 1, "train.threads": nodes, "train.processes": nodes}
    spec = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, settings)
    modules = [*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)]
    place = JobPlace(project.root, str(folder / "store"), folder / "jobs", ROOT, modules)
    here, there = LocalProcessRunner(project.root), JobRunner(place, engine, _quiet)
    stages = requests(project, spec)
    stage = next(stages)
    stage_runner.run(here, stage, _quiet, _quiet)
    if nodes == 1:
        stage = next(stages)
    _seconds(there, stage, project)  # the store has the inputs, the jobs' folder the code
    seconds: dict[str, list[float]] = {"here": [], "there": []}
    for turn in range(pairs):
        both: list[tuple[str, StageRunner]] = [("here", here), ("there", there)]
        for name, runner in both if turn % 2 else reversed(both):
            seconds[name].append(_seconds(runner, stage, project))
        tell(f"here {seconds['here'][-1]:.2f} s, there {seconds['there'][-1]:.2f} s")
    more = statistics.median(one - other for one, other in zip(seconds["there"], seconds["here"], strict=True))
    what, where = ("evaluation", "") if nodes == 1 else (f"training in {nodes} processes", f" on {nodes} nodes")
    return [
        Figure(NAME, f"{what} of digits here", round(statistics.median(seconds["here"]), 2), "s"),
        Figure(
            NAME, f"the same as a job of {name_of_engine}{where}", round(statistics.median(seconds["there"]), 2), "s"
        ),
        Figure(NAME, "what it costs beyond the stage", round(more, 2), "s", at_most=at_most),
    ]


def _seconds(runner: StageRunner, request: StageRequest, project: Project) -> float:
    if request.stage == "training":
        shutil.rmtree(project.state / "runs")  # else it is trained already
    begin = time.monotonic()
    stage_runner.run(runner, request, _quiet, _quiet)
    return time.monotonic() - begin


def _quiet(_line: str) -> None:
    """Nothing is shown of the stage."""


if __name__ == "__main__":
    sys.exit(main())
