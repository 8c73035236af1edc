"""Trainings as jobs of Slurm, killed with -9 at random moments, and run again until they are done.

A real Slurm of two nodes on this machine (slurmctld, slurmd and munged have to be installed, and it needs root). In
each round a training of digits is submitted by a process of its own, and after a random time one of these is killed:
the submitter, the job, the daemon of the node, the cluster's controller. Then it is submitted again, as a person would,
until it ends well.

With `--nodes 2` the training has two processes, one on each node, and a rank, srun, and the process that waits for it
are among the victims; the package is compared with that of two processes here.

    python -m benchmarks.job_kills [--kills 40] [--seed 0] [--nodes 2]
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
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.pipeline import PipelineSpec
from components.contracts.runner_spec import SlurmSpec
from components.contracts.stage_request import StageRequest, StageResult
from components.core import located_yaml
from components.core.errors import ModelyardError
from components.core.project import Project
from flows.pipelines import fingerprints
from flows.runners import stage_runner
from flows.runners.job_engine import JobEngine
from flows.runners.job_runner import JobPlace, JobRunner
from flows.runners.local_runner import LocalProcessRunner
from flows.runners.slurm_engine import SlurmEngine
from tests.runners import slurm_cluster
from tests.runners.digits_requests import ROOT, keys_of, requests
from tests.training.prepared_digits import prepare

NAME = "job_kills"
VICTIMS = ("submitter", "job", "node", "cluster")
OF_RANKS = {  # on several nodes: words of their command lines
    "rank": "-u -m components.training.slurm_rank_process",
    "srun": "srun --export",
    "launcher": "-m components.training /",
}  # fmt: skip
LONGEST_SECONDS, ROUND_SECONDS, ATTEMPTS = 9.0, 180.0, 6
SETTINGS = {"train.epochs": 25, "train.threads": 1}


def main() -> int:
    """0: the targets are met; 1: not; 2: there is no Slurm here."""
    if sys.argv[1:2] == ["--submit"]:
        return _submit(Path(sys.argv[2]), int(sys.argv[3]))
    parser = figure.parser(__doc__)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=1, choices=(1, 2))
    if (why := slurm_cluster.missing()) is not None:
        print(why, file=sys.stderr)
        return 2
    return figure.command(measure, parser)


def measure(kills: int = 40, seed: int = 0, nodes: int = 1) -> list[Figure]:
    """What became of so many rounds."""
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        with slurm_cluster.running(folder / "c") as config:
            return _measured(folder, config, kills, random.Random(seed), nodes)
    finally:
        for process in processes(str(folder / "c")):  # daemons that were started again
            process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _measured(folder: Path, config: Path, kills: int, chance: random.Random, nodes: int) -> list[Figure]:
    project, _, request = asked(folder, nodes, first=True)
    victims = VICTIMS if nodes == 1 else (*OF_RANKS, *VICTIMS)
    local = stage_runner.run(LocalProcessRunner(project.root), request, _quiet, _quiet)
    expected = digests_of(local)
    found: Counter[str] = Counter()
    for number in range(kills):
        shutil.rmtree(project.state / "runs", ignore_errors=True)
        victim, moment = victims[number % len(victims)], chance.uniform(0.0, LONGEST_SECONDS)
        begun = time.monotonic()
        hit, digests, attempts = _round(folder, config, victim, moment, nodes)
        seconds = time.monotonic() - begun
        found["killed"] += hit
        found["not converged"] += digests is None
        found["otherwise"] += digests not in (None, expected)
        found["left over"] += len(_open_jobs()) + len(list((folder / "jobs").glob("*/modelyard-*")))
        found["attempts"] += attempts
        found["longest"] = max(found["longest"], round(seconds))
        what = victim if hit else f"no {victim}"
        tell(f"{number + 1}: {what} after {moment:.1f} s, {attempts} attempts, {seconds:.0f} s")
    return figures(NAME, found, victims, kills)


def figures(name: str, found: Counter[str], victims: Iterable[str], kills: int) -> list[Figure]:
    """What became of so many kills."""
    return [
        Figure(name, f"kills of {', '.join(victims)} that hit, of {kills}", found["killed"], at_least=0.8 * kills),
        Figure(name, f"trainings that did not end well in {ATTEMPTS} runs", found["not converged"], at_most=0),
        Figure(name, "... whose package is another than of one left alone", found["otherwise"], at_most=0),
        Figure(name, "jobs that went on afterwards, and folders that stayed", found["left over"], at_most=0),
        Figure(name, "runs that it took, on average", round(found["attempts"] / kills, 2)),
        Figure(name, "the longest until the end", found["longest"], "s"),
    ]


def asked(folder: Path, nodes: int, *, first: bool = False) -> tuple[Project, PipelineSpec, StageRequest]:
    """The training, of a project in `folder`; `first`: its data is prepared."""
    project = Project(folder / "project")
    if first:
        prepare(project.dataset("digits") / "prepared")
    settings = {**SETTINGS, "train.processes": nodes, "train.threads": nodes}
    spec = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec, settings)
    return project, spec, next(requests(project, spec))


def _round(folder: Path, config: Path, victim: str, moment: float, nodes: int) -> tuple[bool, list[str] | None, int]:
    """One training until its end; whether the kill hit, the digests of what it made, and how often it was asked for."""
    deadline, hit, attempts = time.monotonic() + ROUND_SECONDS, False, 0
    while attempts < ATTEMPTS and time.monotonic() < deadline:
        attempts += 1
        words = [sys.executable, "-m", "benchmarks.job_kills", "--submit", str(folder), str(nodes)]
        submitter = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if attempts == 1:
            if nodes > 1:
                _wait_for_ranks(folder, submitter)
            with suppress(subprocess.TimeoutExpired):
                submitter.wait(moment)
            hit = _kill(victim, submitter, folder, config)
        while submitter.poll() is None and time.monotonic() < deadline:
            time.sleep(0.5)
            _release_what_is_held()
        submitter.kill()
        output, _ = submitter.communicate()
        if submitter.returncode == 0:
            return hit, json.loads(output.splitlines()[-1]), attempts
    return hit, None, attempts


def _wait_for_ranks(folder: Path, submitter: subprocess.Popen[str]) -> None:
    """Wait until the ranks have been started: before, a job on several nodes is as one on one node."""
    end = time.monotonic() + ROUND_SECONDS / 2
    while not _ranks(folder) and submitter.poll() is None and time.monotonic() < end:
        time.sleep(0.1)


def _ranks(folder: Path) -> list[psutil.Process]:
    found = (process for process in processes(OF_RANKS["rank"]) if str(folder) in line_of(process))
    return [process for process in found if not line_of(process).startswith("srun")]


def _kill(victim: str, submitter: subprocess.Popen[str], folder: Path, config: Path) -> bool:
    """Kill it with -9; a daemon is started again two seconds later, as a service manager does. Whether it was there."""
    if victim == "submitter":
        hit = submitter.poll() is None
        submitter.kill()
        return hit
    words = {
        **OF_RANKS,
        "job": "node_job",
        "node": f"slurmd -D -N yard1 -f {config}",
        "cluster": f"slurmctld -D -f {config}",
    }
    is_of_job = victim == "job" or victim in OF_RANKS
    found = [process for process in processes(words[victim]) if not is_of_job or str(folder) in line_of(process)]
    if victim == "rank":
        found = _ranks(folder)[-1:]
    for process in found:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
    if not is_of_job and found:
        time.sleep(2)
        quiet = subprocess.DEVNULL
        subprocess.Popen(words[victim].split(), stdout=quiet, stderr=quiet, start_new_session=True)
    return bool(found)


def _release_what_is_held() -> None:
    """What an operator does after a failure: Slurm holds a job that could not be launched, and drains its node."""
    held = _told(["squeue", "--noheader", "--format=%i %r"])
    for job in [line.split()[0] for line in held.splitlines() if "held" in line.lower()]:
        _told(["scontrol", "update", "NodeName=yard1,yard2", "State=RESUME"])
        _told(["scontrol", "release", job])


def _told(words: list[str]) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def processes(words: str) -> list[psutil.Process]:
    """The running ones with these words in their command line."""
    return [process for process in psutil.process_iter() if words in line_of(process)]


def line_of(process: psutil.Process) -> str:
    """A process's command line; empty once it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _open_jobs() -> list[str]:
    return _told(["squeue", "--noheader", "--format=%i"]).split()


def _submit(folder: Path, nodes: int) -> int:
    """Run the training as `modelyard run` does, and print the digests of what it made."""
    return submit(folder, nodes, SlurmEngine(SlurmSpec(runner="slurm", nodes=nodes)))


def submit(folder: Path, nodes: int, engine: JobEngine) -> int:
    """Run the training as a job of an engine, and print the digests of what it made; returns the exit code."""
    project, spec, request = asked(folder, nodes)
    modules = [*fingerprints.training_modules(spec), *fingerprints.evaluation_modules(spec)]
    place = JobPlace(project.root, str(folder / "store"), folder / "jobs" / "ann", ROOT, modules)
    runner = JobRunner(place, engine, _quiet)
    sealed = project.run_folder(keys_of(project, spec).train.digest) / "trained" / "manifest.json"
    if sealed.exists():
        raise AssertionError("it was trained already")
    try:
        result = stage_runner.run(runner, request, _quiet, _quiet)
    except ModelyardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(digests_of(result)))
    return 0


def digests_of(result: StageResult) -> list[str]:
    """Of what a stage made; reports hold times."""
    return [artifact.digest for artifact in result.artifacts if artifact.kind != "report"]


def _quiet(_line: str) -> None:
    """Nothing is shown of the stage."""


if __name__ == "__main__":
    sys.exit(main())
