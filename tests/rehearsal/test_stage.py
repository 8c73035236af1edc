"""The stage on a sealed prediction log of a real, small package: result, report, and the recorded hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, begin_of, hour_of
from components.contracts.rehearsal_request import RehearsalRequest
from components.contracts.rehearsal_scenario import ScenarioSpec
from components.core.errors import NotFoundError, UsageError
from components.monitoring import reference, sealing
from components.monitoring.reference import Reference
from components.rehearsal import recorded, stage
from tests import small_package
from tests.rehearsal import cases

BEGIN = begin_of("2026-03-02T00")
HOURS, AN_HOUR = 60, 12


def write_log(log: Path, package: str) -> None:
    """Hours of answers; from the fortieth on `raw.row.age` is higher and more answers are wrong."""
    table = cases.table(HOURS * AN_HOUR)
    rng = np.random.default_rng(3)
    for hour in range(HOURS):
        rows = table.iloc[hour * AN_HOUR : (hour + 1) * AN_HOUR]
        begin = BEGIN + 3600 * hour
        ages = rows["raw.row.age"] + (25 if hour >= 40 else 0)
        wrong = rng.random(AN_HOUR) < (0.5 if hour >= 40 else 0)
        labels = np.where(wrong, "other", rows["output.label"])
        ids = [f"{int(begin) + 60 * at:08x}-{at:016x}" for at in range(AN_HOUR)]
        document: dict[str, Any] = {
            "format": BLOCK_FORMAT, "model": "m", "version": "1", "package": package, "role": "champion", "id": ids,
            "index": [0] * AN_HOUR, "time": [begin + 60 * at for at in range(AN_HOUR)], "latency_ms": [1.0] * AN_HOUR,
            "output": [{"label": label, "probabilities": {label: confidence}}
                       for label, confidence in zip(labels, rows["output.confidence"], strict=True)],
            "rows": {"raw.row.age": ages.tolist(), "raw.row.hours": rows["raw.row.hours"].tolist()},
        }  # fmt: skip
        folder = log / OPEN / hour_of(begin)
        folder.mkdir(parents=True)
        (folder / "1-a.predictions.jsonl").write_text(json.dumps(document) + "\n")
        told = [
            json.dumps({"id": name, "index": 0, "truth": truth, "at": None, "arrived": begin + 3000})
            for name, truth in zip(ids, rows["truth"], strict=True)
        ]
        (folder / "1-a.feedback.jsonl").write_text("\n".join(told) + "\n")
    sealing.seal_closed(log, BEGIN + 3600 * (HOURS + 1))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rehearsal")
    package = small_package.build(folder / "packages" / "one")
    write_log(folder / "log", package.digest)
    (folder / "data").mkdir()
    return folder


def request(project: Path, scenarios: list[str], **more: Any) -> RehearsalRequest:
    spec = cases.policy(limits={"live_accuracy": 0.75}, min_rows=5, false_alarms_per_month=0.2,
                        actions={"drift": ["notify"], "live_quality": ["notify"]})  # fmt: skip
    values = {
        "model": "m", "dataset": str(project / "data"), "packages": [str(project / "packages")], "package": None,
        "log": str(project / "log"), "cache": str(project / "rows"), "references": str(project / "references"),
        "target": str(project / "target"), "policies": [spec, spec.model_copy(update={"name": "other"})],
        "scenarios": [ScenarioSpec.parse(text) for text in scenarios], "months": 0.15, "seed": 1, **more,
    }  # fmt: skip
    return RehearsalRequest(**values)


@pytest.mark.slow
def test_scenarios_on_a_log(project: Path) -> None:
    document = stage.run(request(project, ["none", "sudden:drop=0.2,day=1.5,requests_an_hour=40"]))
    assert json.loads((project / "target" / stage.RESULT).read_bytes()) == document
    first, second, third, fourth = document["results"]
    assert [one["policy"] for one in document["results"]] == ["p", "other"] * 2
    assert (first["true_alarms"], first["false_alarms"]) == (0, 0)
    assert first["parameters"]["requests_an_hour"] == pytest.approx(12, rel=0.05)
    assert third["true_alarms"] > 0
    assert {**third, "policy": ""} == {**fourth, "policy": ""}
    page = (project / "target" / stage.REPORT).read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "What is simulated" in page
    assert second["cost"]["wrong"] == second["cost"]["wrong_without"]


@pytest.mark.slow
def test_the_recorded_hours_are_judged_as_they_were(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = cases.table(600, seed=9)
    monkeypatch.setattr(reference, "of_package", lambda *_: Reference(rows, None, "d" * 64))
    document = stage.run(request(project, ["recorded"]))
    found = document["results"][0]
    assert found["hours"] == HOURS
    assert {one["trigger"] for one in found["alarms"]} == {"drift", "live_quality"}
    assert all(one["is_true"] is None for one in found["alarms"])
    assert found["alarms"][0]["window"] >= "2026-03-03T16"  # the fortieth hour
    assert sum(day["labels"] for day in found["days"]) == HOURS * AN_HOUR


@pytest.mark.slow
def test_a_log_has_its_package_its_rate_and_its_truths(project: Path) -> None:
    recording = recorded.read(project / "log")
    assert recording.requests_an_hour == pytest.approx(12, rel=0.05)
    assert np.isfinite(recording.right).all()
    assert recording.others == 0


@pytest.mark.slow
def test_what_a_log_cannot_give_is_refused(project: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="broken sensor"):
        stage.run(request(project, ["broken_sensor"]))
    with pytest.raises(UsageError, match="no sealed hour"):
        stage.run(request(project, ["none"], log=str(tmp_path)))
    with pytest.raises(NotFoundError, match="is not here"):
        stage.run(request(project, ["none"], packages=[str(tmp_path)]))
