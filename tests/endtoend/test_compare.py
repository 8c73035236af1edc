"""Real trainings at equal budget, side by side: stopped, gone on with, one of them failing; again it trains nothing."""

from __future__ import annotations

import json
import signal

import pytest
import yaml

from tests.house import House

pytestmark = pytest.mark.slow


def test_models_are_compared_one_that_fails_is_named_and_nothing_is_trained_twice(house: House) -> None:
    small = {"name": "textbook", "family": "cnn", "depth": 1, "width": 4, "convolutions": 1, "dropout": 0.0}
    explodes = {"learning_rate": 10.0, "weight_decay": 1.0, "schedule": "constant"}  # its weights, nine times a step
    for name, width, more in (("narrow", 4, {}), ("wide", 16, {}), ("diverges", 4, explodes)):
        house.pipeline(name, model={**small, "width": width}, train={"epochs": 30, **more}, gates={})
    words = ("compare", "narrow", "wide", "diverges", "--epochs", "3")
    stopped = house.start(*words)
    assert stopped.stderr is not None
    for line in stopped.stderr:
        if "training: textbook" in line:
            break
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, said
    assert "run the same command again to resume" in said

    done = house.run(*words, "--json", check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["failed"].keys() == {"diverges"}
    assert "not finite" in found["failed"]["diverges"]
    rows = {row["name"]: row for row in found["rows"]}
    assert rows.keys() == {"narrow", "wide"}
    assert (found["metric"], found["split"]) == ("accuracy", "validation")
    assert all(row["epochs"] == 3 and row["training_seconds"] > 0 for row in rows.values())
    assert rows["wide"]["parameters"] > rows["narrow"]["parameters"]
    assert rows["wide"]["serves_bytes"] > rows["narrow"]["serves_bytes"]
    for row in rows.values():
        quality = row["quality"]
        assert quality["lower"] < quality["value"] < quality["upper"]
        facts = json.loads((house.root / row["package"] / "manifest.json").read_text())["facts"]
        trained = house.project.run_folder(facts["train_fingerprint"]) / "trained" / "history.json"
        epoch = json.loads(trained.read_text())["epochs"][row["kept_epoch"] - 1]
        assert epoch["validation/accuracy"] == pytest.approx(quality["value"], abs=1e-6)
        assert 0 < row["latency_ms"] < 1000
    folder = house.project.reports("compare-narrow-wide-diverges")
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert found["report"] == str(folder / "report.html")
    assert "training: textbook" in done.stderr

    run_id = found["mlflow"].rpartition("/")[2]
    with house.client(f"{house.mlflow()}/api/2.0") as api:
        parent = api.get("/mlflow/runs/get", params={"run_id": run_id}).json()["run"]
        assert parent["info"]["status"] == "FINISHED"
        asked = {
            "experiment_ids": [parent["info"]["experiment_id"]],
            "filter": f"tags.`mlflow.parentRunId` = '{run_id}'",
        }
        children = api.post("/mlflow/runs/search", json=asked).json()["runs"]
        files = api.get("/mlflow/artifacts/list", params={"run_id": run_id}).json()["files"]
    states = {run["info"]["run_name"]: run["info"]["status"] for run in children}
    assert states == {"narrow": "FINISHED", "wide": "FINISHED", "diverges": "FAILED"}
    assert {file["path"] for file in files} >= {"plot.png", "table.csv", "report.html"}
    for run in (run for run in children if run["info"]["run_name"] in rows):
        figures = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
        assert figures["compare/parameters"] == rows[run["info"]["run_name"]]["parameters"]

    again = house.run("compare", "narrow", "wide", "--epochs", "3", "--json")
    assert "training: textbook" not in again.stderr
    assert again.stderr.count("trained already") == 2
    assert "scoring" not in again.stderr
    same = {row["name"]: row["quality"] for row in json.loads(again.stdout)["rows"]}
    assert same == {name: row["quality"] for name, row in rows.items()}


@pytest.mark.long
def test_the_best_candidate_of_a_short_trial_is_written_into_the_pipeline(house: House) -> None:
    rows = [f"{a},{b},{'big' if a * b > 20 else 'small'}" for a in range(15) for b in range(15)]
    (house.root / "cells.csv").write_text("\n".join(["height,width,label", *rows]) + "\n")
    house.run("new", "cells", "--from", "cells.csv")
    file = house.project.pipeline_file("cells")
    before = yaml.safe_load(file.read_text())
    assert before["model"]["name"] == "mlp"
    before |= {
        "train": {**before["train"], "learning_rate": 1e-9},
        "gates": {"accuracy": {"min": 0.5}},
    }  # learns nothing
    file.write_text(yaml.safe_dump(before))
    done = house.json("try", "cells", "--for", "4s")
    assert done["changed"]
    assert done["split"] == "validation"
    assert {row["name"] for row in done["rows"]} | set(done["left_out"]) == {"mlp mlp", "transformer ft-transformer"}
    assert done["chosen"] == done["rows"][0]["name"] == "transformer ft-transformer"
    written = yaml.safe_load(file.read_text())
    assert written["model"]["name"] == done["model"]["name"] == "ft-transformer"
    assert written["train"]["learning_rate"] > 1e-9
    assert written["train"]["epochs"] > 1  # those of a whole training
    assert written["gates"] == before["gates"]
    assert "# Tried by `modelyard try` on " in file.read_text()
