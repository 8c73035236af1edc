"""`modelyard run` and `modelyard tune` with Slurm: the package of this machine, trials as jobs, doctor's word."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import postgres_server
from tests.house import House
from tests.runners import slurm_cluster

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(slurm_cluster.missing() is not None, reason=str(slurm_cluster.missing())),
]


@pytest.fixture
def cluster(house: House) -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="yard-"))
    settings = house.root / "modelyard.toml"
    try:
        with slurm_cluster.running(folder / "c") as config:
            house.environment["SLURM_CONF"] = str(config)
            settings.write_text("[run.train]\nrunner = 'slurm'\ncpus = 1\n[run.evaluate]\nrunner = 'slurm'\n")
            yield
    finally:
        settings.unlink(missing_ok=True)
        house.environment.pop("SLURM_CONF", None)
        shutil.rmtree(folder, ignore_errors=True)


def jobs() -> list[str]:
    done = subprocess.run(["squeue", "--states=all", "--noheader", "--format=%T"], capture_output=True, text=True)
    return done.stdout.split()


def test_a_pipeline_and_a_search(house: House, cluster: None) -> None:
    name = house.pipeline("by-slurm", train={"epochs": 2, "threads": 1}, gates={}, schedule=None)
    settings = (house.root / "modelyard.toml").read_text()
    (house.root / "modelyard.toml").unlink()
    here = house.json("run", name)
    (house.root / "modelyard.toml").write_text(settings)
    assert "by Slurm: train* up 2" in house.run("doctor", check=False).stdout
    again = house.run("run", name, "--force", "train")
    assert "training is job 1 of Slurm" in again.stderr
    assert here["package"][:12] in again.stdout
    assert jobs() == ["COMPLETED", "COMPLETED"]
    found = house.json("tune", name, "--trials", "2", "--parallel", "1")
    assert [trial["state"] for trial in found["trials"]] == ["complete", "complete"]
    assert len(jobs()) == 3  # the recipe was trained before
    assert house.run("run", name).stdout.startswith(f"{name}: up to date")


def test_two_nodes_train_the_package_of_two_processes_here(house: House, cluster: None) -> None:
    train = {"epochs": 2, "threads": 2, "batch_size": 64}
    name = house.pipeline("two-nodes", train={**train, "processes": 2}, gates={}, schedule=None)
    settings = house.root / "modelyard.toml"
    settings.write_text("[run.train]\nrunner = 'slurm'\nnodes = 2\n")
    there = house.run("run", name)
    assert "runs on yard[1-2]" in there.stderr
    assert "train     up to date" in house.run("why", name).stdout
    settings.unlink()
    assert house.json("run", name, "--force", "train")["package"][:12] in there.stdout
    alone = house.pipeline("one-process", train=train, gates={}, schedule=None)
    settings.write_text("[run.train]\nrunner = 'slurm'\nnodes = 2\n")
    refused = house.run("run", alone, check=False)
    assert refused.returncode == 2
    assert "one-process cannot train on 2 nodes: each needs as many processes" in refused.stderr


@pytest.mark.skipif(postgres_server.missing() is not None, reason=str(postgres_server.missing()))
def test_a_trial_whose_job_is_killed_goes_on_on_another_node(house: House, cluster: None) -> None:
    small = {"name": "textbook", "family": "cnn", "depth": 1, "width": 4, "convolutions": 1}
    tune = {"space": {"train.learning_rate": {"float": [1e-3, 1e-1], "log": True}}, "pruner": "none", "parallel": 2}
    name = house.pipeline("far", model=small, train={"epochs": 25, "threads": 1}, gates={}, tune=tune, schedule=None)
    settings = house.root / "modelyard.toml"
    with postgres_server.running() as database:
        login = f"[connections]\nstudies = '{database.url}'\nstudies_credentials = {{env = 'STUDIES_LOGIN'}}\n"
        settings.write_text(f"{login}[run.train]\nrunner = 'slurm'\ncpus = 1\n")
        house.environment["STUDIES_LOGIN"] = database.credentials
        search = house.start("tune", name, "--trials", "3", "--json", warm=False)
        try:
            job, node = _once_a_checkpoint_is_there(house)
            subprocess.run(["scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=test"], check=True)
            for process in psutil.process_iter(["cmdline"]):
                if f"{job}" in (process.info["cmdline"] or []) and "flows.runners.node_job" in process.info["cmdline"]:
                    process.kill()
            output, said = search.communicate(timeout=400)
        finally:
            search.kill()
            house.environment.pop("STUDIES_LOGIN")
        assert search.returncode == 0, said
        found = json.loads(output)
    nodes = subprocess.run(["squeue", "--states=all", "--noheader", "--format=%T %N"], capture_output=True, text=True)
    assert f"FAILED {node}" in nodes.stdout
    assert len(jobs()) == 4  # three trials, and one that was killed
    assert not any(database.credentials.partition(":")[2] in line for line in (output + said).splitlines())
    settings.write_text("")
    shutil.rmtree(house.project.state / "runs")
    here = house.json("tune", name, "--trials", "3")  # in a file, on this machine
    assert [trial["values"] for trial in found["trials"]] == [trial["values"] for trial in here["trials"]]
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 3


def _once_a_checkpoint_is_there(house: House) -> tuple[Path, str]:
    """The folder of a job that has a checkpoint, and its node."""
    end = time.monotonic() + 200
    while time.monotonic() < end:
        for folder in house.root.rglob("jobs/*/modelyard-*"):
            words = ["squeue", "--noheader", "--states=RUNNING", f"--name={folder.name}", "--format=%N"]
            node = subprocess.run(words, capture_output=True, text=True).stdout.strip()
            if node and any(folder.rglob("checkpoints/*.json")):
                return folder, node
        time.sleep(0.2)
    raise TimeoutError("no trial runs")
