"""Two real trainings at equal budget, side by side; the same command again trains nothing."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.house import House

pytestmark = pytest.mark.slow


def test_two_models_are_compared_and_nothing_is_trained_twice(house: House) -> None:
    small = {"name": "textbook", "family": "cnn", "depth": 1, "width": 4, "convolutions": 1, "dropout": 0.0}
    for name, width in (("narrow", 4), ("wide", 16)):
        house.pipeline(name, model={**small, "width": width}, train={"epochs": 30}, gates={})
    words = ("compare", "narrow", "wide", "--epochs", "3")
    done = house.run(*words, "--json")
    found = json.loads(done.stdout)
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() == {"narrow", "wide"}
    assert found["metric"] == "accuracy"
    assert found["failed"] == {}
    assert all(row["epochs"] == 3 and row["training_seconds"] > 0 for row in rows.values())
    assert rows["wide"]["parameters"] > rows["narrow"]["parameters"]
    assert rows["wide"]["serves_bytes"] > rows["narrow"]["serves_bytes"]
    for row in rows.values():
        quality = row["quality"]
        assert quality["lower"] < quality["value"] < quality["upper"]
        metrics = json.loads((house.root / row["package"] / "metrics.json").read_text())
        assert metrics["overall"]["accuracy"] == pytest.approx(quality["value"], abs=1e-6)
        assert 0 < row["latency_ms"] < 1000
    folder = house.project.reports("compare-narrow-wide")
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert found["report"] == str(folder / "report.html")
    assert "training: textbook" in done.stderr

    run_id = found["mlflow"].rpartition("/")[2]
    with httpx.Client(base_url=f"{house.mlflow()}/api/2.0", trust_env=False) as api:
        parent = api.get("/mlflow/runs/get", params={"run_id": run_id}).json()["run"]
        assert parent["info"]["status"] == "FINISHED"
        asked = {
            "experiment_ids": [parent["info"]["experiment_id"]],
            "filter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        }
        children = api.post("/mlflow/runs/search", json=asked).json()["runs"]
        files = api.get("/mlflow/artifacts/list", params={"run_id": run_id}).json()["files"]
    assert {run["info"]["run_name"] for run in children} == {"narrow", "wide"}
    assert {file["path"] for file in files} >= {"plot.png", "table.csv", "report.html"}
    for run in children:
        figures = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
        assert figures["compare/parameters"] == rows[run["info"]["run_name"]]["parameters"]

    again = house.run(*words, "--json")
    assert "training: textbook" not in again.stderr
    assert again.stderr.count("trained already") == 2
    assert "scoring" not in again.stderr
    same = {row["name"]: row["quality"] for row in json.loads(again.stdout)["rows"]}
    assert same == {name: row["quality"] for name, row in rows.items()}
