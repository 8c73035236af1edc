"""kill -9 of the flow at every stage and of the trainer in mid-epoch: the next run finishes, nothing is twice."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from flows.pipelines.plan import STAGES
from tests.house import House
from tests.prefect_api import ask

pytestmark = pytest.mark.slow

# Another seed of the split makes ingest the only data stage that stands; --force makes that run too.
PIPELINE = "killed"


@pytest.fixture(scope="module")
def pipeline(house: House) -> str:
    return house.pipeline(PIPELINE, train={"epochs": 3, "seed": 11}, gates={})


def prefect(house: House) -> str:
    services = {service["name"]: service for service in house.json_of_status()}
    return f"{services['prefect']['url']}/api"


def wait_for_task(house: House, api: str, name: str, process: Any, seconds: float = 90) -> None:
    """Until a task of that name runs, in a flow run that is not over."""
    asked = {
        "task_runs": {"name": {"any_": [name]}, "state": {"type": {"any_": ["RUNNING"]}}},
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
    }
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if ask(house, "POST", f"{api}/task_runs/filter", asked):
            return
        assert process.poll() is None, f"ended before {name}: {process.communicate()}"
        time.sleep(0.1)
    raise AssertionError(f"{name} did not begin")


@pytest.mark.long
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
            wait_for_task(house, api, stage, process)
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
        # The kill at the last stage may have come after its end; forced, there is a flow that settles what it left.
        outcome = house.json("run", pipeline, "--force", "bundle")
        assert set(outcome["stages"].values()) == {"up to date"}
        again = house.json("run", pipeline)
        assert again == {**outcome, "seconds": again["seconds"]}
        versions = [row for row in house.json("models") if row["name"] == pipeline]
        assert [row["version"] for row in versions] == [outcome["version"]] == ["1"]
        asked = {"flow_runs": {"name": {"any_": [pipeline]}, "state": {"type": {"any_": ["RUNNING"]}}}}
        assert ask(house, "POST", f"{api}/flow_runs/filter", asked) == []
    finally:
        dataset.write_text(before)


def test_stopped_by_ctrl_c_then_its_trainer_killed_a_training_goes_on_from_its_checkpoints(house: House) -> None:
    name = house.pipeline("mid-epoch", train={"epochs": 24, "seed": 12}, gates={})
    started = time.time()
    process = house.start("run", name, warm=False)
    wait_for_checkpoint(house, process, after=started)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 130, said
    assert f"modelyard run {name}" in said
    assert "Traceback" not in said
    assert begun(said) == [0]

    stopped = time.time()
    process = house.start("run", name, warm=False)
    wait_for_checkpoint(house, process, after=stopped)
    trainers = [found for found in psutil.Process(process.pid).children(recursive=True) if is_trainer(found)]
    assert trainers
    for found in trainers:
        found.kill()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    first, second = begun(said)  # of the training stopped before, and of its retry in the same flow
    assert 1 <= first <= second < 24


def begun(said: str) -> list[int]:
    """How many epochs were done at each start of a training."""
    return [int(epochs) for epochs in re.findall(r"(\d+) of 24 epochs done", said)]


def wait_for_checkpoint(house: House, process: subprocess.Popen[str], after: float, seconds: float = 120) -> None:
    """Until a training that is not over has written a checkpoint."""
    runs = house.project.state / "runs"
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = [path for path in runs.glob("*") if not (path / "trained").exists()]
        written = [found for path in begun for found in path.glob("checkpoint*/*.json")]
        with contextlib.suppress(FileNotFoundError):  # a newer one took its place
            if any(path.stat().st_mtime > after for path in written):
                return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no checkpoint")


def is_trainer(process: psutil.Process) -> bool:
    """The process that computes: the child that the waiting host forked."""
    above = process.parent()
    return all(one is not None and {"torch", PROCESS} <= set(one.cmdline()) for one in (process, above))


PROCESS = "components.core.stage_process"
