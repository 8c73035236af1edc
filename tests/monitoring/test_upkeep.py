"""The upkeep of logs without a command: by a process of the platform; what is pushed; what gc lists."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from components.contracts.prediction_log import OPEN, hour_of
from components.contracts.settings import RetentionSettings
from components.core.project import Project
from components.identity.artifact_store import LocalArtifactStore
from components.monitoring import sealing
from components.monitoring.upkeep_request import UpkeepRequest, is_removal_due, is_sealing_due
from components.retention import reachability
from components.retention.reachability import Roots
from flows.platform.log_upkeep import LogUpkeep
from flows.retention import inventory
from tests.monitoring.test_commands import write
from tests.waiting import eventually

DAY = 86_400.0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "dvc.yaml").touch()
    return Project(tmp_path)


@pytest.mark.slow
def test_the_platform_seals_removes_and_pushes(project: Project) -> None:
    (project.root / "modelyard.toml").write_text("[predictions]\npush = true\n")
    train = "train: {epochs: 1, batch_size: 2, optimizer: adamw, learning_rate: 1.0e-3, seed: 0}\n"
    pipeline = "name: m\ndataset: d\ntask: tabular-classification\nmodel: {family: mlp, name: mlp}\n"
    project.pipeline_file("m").write_text(f"{pipeline}{train}serving: {{log: {{inputs: true, retention_days: 2}}}}\n")
    write(project.root, time.time() - 3 * DAY, 3, inputs=["x"] * 3)
    write(project.root, time.time() - 3 * 3600, 2, inputs=["x"] * 2)
    write(project.root, time.time(), 1)
    log = project.predictions("m")
    upkeep = LogUpkeep(project)

    def is_done() -> bool:
        upkeep.look()
        return len(sealing.sealed_hours(log)) == 2 and not upkeep.is_at_work()

    eventually(is_done, "two hours are sealed", 300)
    old, young = sealing.sealed_hours(log)
    assert old.manifest.facts["inputs_removed"] is True
    assert "inputs_removed" not in young.manifest.facts
    store = LocalArtifactStore(project.artifacts)
    assert all(store.has(one.manifest.digest) for one in (old, young))
    named = json.loads((project.artifacts / "predictions/m" / f"{old.name}.json").read_text())
    assert named["digest"] == old.manifest.digest
    assert [path.name for path in (log / OPEN).iterdir()] == [hour_of(time.time())]


def test_whether_something_is_due(project: Project) -> None:
    log, now = project.predictions("m"), time.time()
    request = UpkeepRequest(log=log, model="m", retention_days=2)
    assert not is_sealing_due(log, now)
    write(project.root, now, 1)
    assert not is_sealing_due(log, now)
    assert is_sealing_due(log, now + 3600 + 61)
    write(project.root, now - 3 * DAY, 1, inputs=["x"])
    assert is_sealing_due(log, now)
    sealing.seal_closed(log)
    assert not is_sealing_due(log, now)
    assert is_removal_due(request, now)
    assert not is_removal_due(request.model_copy(update={"retention_days": 4}), now)
    assert not is_removal_due(request.model_copy(update={"retention_days": None}), now)
    sealing.remove_inputs(log, now - 2 * DAY)
    assert not is_removal_due(request, now)
    assert is_removal_due(request.model_copy(update={"store": project.artifacts}), now)


def test_gc_lists_hours_and_says_what_is_lost_with_them(project: Project) -> None:
    ids = write(project.root, time.time() - 9 * DAY, 5)
    log, hour = project.predictions("m"), hour_of(time.time() - 9 * DAY)
    told = [json.dumps({"id": name, "index": 0, "truth": "a", "at": None, "arrived": 1.0}) for name in ids[:2]]
    (log / OPEN / hour / "1-a.feedback.jsonl").write_text("\n".join(told) + "\n")
    sealing.seal_closed(log)
    write(project.root, time.time() - 8 * DAY, 1)

    def verdicts() -> dict[str, tuple[bool, str]]:
        settings = RetentionSettings(predictions_days=7)
        found = reachability.judge(inventory.on_disk(project), Roots(), settings, time.time())
        return {one.item.name: (one.removable, one.why) for one in found if one.item.kind == "predictions"}

    assert verdicts()[f"m/{hour}"] == (False, inventory._KEPT_FOR_GOOD)
    (project.root / "modelyard.toml").write_text("[retention]\npredictions_days = 7\n")
    is_removable, why = verdicts()[f"m/{hour}"]
    assert is_removable
    assert "3 of its answers have no truth" in why
    assert verdicts()[f"m/{hour_of(time.time() - 8 * DAY)}"] == (False, "its answers are not sealed yet")
    item = next(one for one in inventory.on_disk(project) if one.name == f"m/{hour}")
    assert inventory.in_use(project, item) is None
    assert item.digest == sealing.sealed_hours(log)[0].manifest.digest
