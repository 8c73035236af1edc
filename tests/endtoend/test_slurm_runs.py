"""`modelyard run` and `modelyard tune` with Slurm: the package of this machine, trials as jobs, doctor's word."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
