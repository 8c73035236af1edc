"""kill -9 of the flow at every stage and of the trainer in mid-epoch: the next run finishes, nothing is twice."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from typing import Any

import httpx
import psutil
import pytest

from flows.plan import STAGES
from tests.house import House

pytestmark = pytest.mark.slow

# Another seed of the split makes ingest the only data stage that stands; --force makes that run too.
PIPELINE = "killed"


@pytest.fixture(scope="module")
def pipeline(house: House) -> str:
    return house.pipeline(PIPELINE, train={"epochs": 12, "seed": 11}, gates={})


def prefect(house: House) -> str:
    services = {service["name"]: service for service in house.json_of_status()}
    return f"{services['prefect']['url']}/api"


def wait_for_task(api: str, name: str, process: Any, seconds: float = 90) -> None:
    """Until a task of that name runs, in a flow run that is not over."""
    asked = {
        "task_runs": {"name": {"any_": [name]}, "state": {"type": {"any_": ["RUNNING"]}}},
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
    }
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if httpx.post(f"{api}/task_runs/filter", json=asked, trust_env=False).json():
            return
        assert process.poll() is None, f"ended before {name}: {process.communicate()}"
        time.sleep(0.02)
    raise AssertionError(f"{name} did not begin")


def test_the_flow_killed_at_each_stage(house: House, pipeline: str) -> None:
    api = prefect(house)
    dataset = house.root / "data" / "digits" / "dataset.yaml"
    before = dataset.read_text()
    dataset.write_text(re.sub(r"seed: \d+", "seed: 5", before))
    assert dataset.read_text() != before
    try:
        for stage in STAGES:
            force = ["--force", stage] if stage in ("ingest", "validate") else []
            process = house.start("run", pipeline, *force)
            wait_for_task(api, stage, process)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        outcome = house.json("run", pipeline)
        assert set(outcome["stages"].values()) == {"up to date"}
        again = house.json("run", pipeline)
        assert again == {**outcome, "seconds": again["seconds"]}
        versions = [row for row in house.json("models") if row["name"] == pipeline]
        assert [row["version"] for row in versions] == [outcome["version"]] == ["1"]
        asked = {"flow_runs": {"name": {"any_": [pipeline]}, "state": {"type": {"any_": ["RUNNING"]}}}}
        assert httpx.post(f"{api}/flow_runs/filter", json=asked, trust_env=False).json() == []
    finally:
        dataset.write_text(before)


def test_the_trainer_killed_in_mid_epoch_is_retried_from_its_checkpoint(house: House) -> None:
    name = house.pipeline("mid-epoch", train={"epochs": 60, "seed": 12}, gates={})
    process = house.start("run", name)
    wait_for_checkpoint(house, process)
    trainers = [found for found in psutil.Process(process.pid).children(recursive=True) if is_trainer(found)]
    assert trainers
    for found in trainers:
        found.kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    begun = re.findall(r"(\d+) of 60 epochs done", said)
    assert len(begun) == 2
    assert begun[0] == "0"
    assert int(begun[1]) >= 1


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(house: House) -> None:
    name = house.pipeline("stopped", train={"epochs": 60, "seed": 13}, gates={})
    process = house.start("run", name)
    wait_for_checkpoint(house, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130, said
    assert f"modelyard run {name}" in said
    assert "Traceback" not in said
    done = house.run("run", name)
    assert re.search(r"[1-9]\d* of 60 epochs done", done.stderr)


def wait_for_checkpoint(house: House, process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Until a training that is not over has written its first checkpoint."""
    runs = house.project.state / "runs"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = [path for path in runs.glob("*") if not (path / "trained").exists()]
        if any(list(path.glob("checkpoint*/*.json")) for path in begun):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError("no checkpoint")


def is_trainer(process: psutil.Process) -> bool:
    """The process that computes: the child that the waiting host forked."""
    above = process.parent()
    return all(one is not None and {"torch", PROCESS} <= set(one.cmdline()) for one in (process, above))


PROCESS = "components.contracts.stage_process"
