"""A search on the running stack: killed and gone on with, nothing trained twice, the winner written and registered."""

from __future__ import annotations

import json
import signal

import pytest
import yaml

from components.contracts.training_request import FIGURES_FILE
from components.core import located_yaml
from tests.house import House

pytestmark = pytest.mark.slow

SPACE = {
    "train.learning_rate": {"float": [1e-3, 1e-1], "log": True},
    "model.width": {"choice": [4, 8]},
    "train.optimizer": {"choice": ["adamw", "sgd"]},
    "train.momentum": {"float": [0.5, 0.9], "when": {"train.optimizer": "sgd"}},
}


def test_a_killed_search_goes_on_trains_nothing_twice_and_its_winner_is_the_pipelines(house: House) -> None:
    small = {"name": "textbook", "family": "cnn", "depth": 1, "width": 4, "convolutions": 1, "dropout": 0.0}
    poor = {"epochs": 2, "learning_rate": 1e-5, "schedule": "constant", "augment": {}, "label_smoothing": 0.0}
    tune = {"space": SPACE, "pruner": "asha", "trials": 5, "seeds": 2, "enqueue": [{"train.learning_rate": 0.01}]}
    name = house.pipeline("searched", model=small, train=poor, gates={}, tune=tune)
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130)):
        stopped = house.start("tune", name, warm=False)
        assert stopped.stderr is not None
        for line in stopped.stderr:
            if line.startswith("trial "):
                break
        stopped.send_signal(number)
        _, said = stopped.communicate(timeout=60)
        assert stopped.returncode == code, said
        assert number == signal.SIGKILL or "the same command goes on with it" in said

    outcome = house.json("tune", name)
    trials = {trial["number"]: trial for trial in outcome["trials"]}
    assert len(trials) == 5
    assert trials[0]["settings"] == {}
    assert trials[1]["settings"] == {"train.learning_rate": 0.01}
    assert {trial["state"] for trial in trials.values()} <= {"complete", "pruned"}
    best = trials[outcome["best"]]
    assert best["values"][0] > outcome["recipe"][0] + 0.2  # its learning rate is poor indeed
    runs = house.project.state / "runs"
    written = {trial["fingerprint"]: (runs / trial["fingerprint"][:16] / FIGURES_FILE) for trial in trials.values()}
    times = {key: path.stat().st_mtime_ns for key, path in written.items() if path.is_file()}
    again = house.json("tune", name)
    assert [trial["values"] for trial in again["trials"]] == [trial["values"] for trial in outcome["trials"]]
    assert {key: path.stat().st_mtime_ns for key, path in written.items() if path.is_file()} == times

    folder = house.project.reports(f"tune-{name}") / outcome["study"]
    assert "the test split was not read" in (folder / "report.html").read_text()
    with house.client(f"{house.mlflow()}/api/2.0") as api:
        parent = outcome["mlflow"].rpartition("/")[2]
        found = api.get("/mlflow/runs/get", params={"run_id": parent}).json()["run"]
        assert found["info"]["status"] == "FINISHED"
        query = {
            "experiment_ids": [found["info"]["experiment_id"]],
            "filter": f"tags.`mlflow.parentRunId` = '{parent}'",
        }
        children = api.post("/mlflow/runs/search", json=query).json()["runs"]
        assert len(children) == len({trial["fingerprint"] for trial in trials.values()})
        names = {metric["key"] for child in children for metric in child["data"].get("metrics", [])}
        assert "tune/metric" in names
        assert not any(key.startswith("test/") for key in names)

    early = [trial for trial in trials.values() if trial["state"] == "pruned"]
    if early:  # from its checkpoint to its end
        finished = house.json("tune", name, "--finish", str(early[0]["number"]))["trials"]
        assert len(finished) == 6
        last = finished[-1]
        assert (last["state"], last["epochs"], last["fingerprint"]) == ("complete", 2, early[0]["fingerprint"])
        trials[5] = last

    applied = house.json("tune", name, "--apply")["applied"]
    assert applied["changed"]
    assert not applied["within_spread"]
    winner = next(one for one in applied["finalists"] if one["trial"] == applied["winner"])
    file = house.project.pipeline_file(name)
    document = yaml.safe_load(file.read_text())
    for key, value in winner["settings"].items():
        section, _, rest = key.partition(".")
        assert document[section][rest] == value
    assert document["tune"]["trials"] == 5
    assert "beyond the spread" in " ".join(file.read_text().split()).replace("# ", "")
    again_applied = house.run("tune", name, "--apply", check=False)
    assert again_applied.returncode == 2
    assert f"the file holds what study {outcome['study']} chose" in again_applied.stderr
    ran = house.run("run", name)
    assert "2 of 2 epochs done" in ran.stderr  # the package is made of the trial's checkpoint
    facts = json.loads(house.run("run", name, "--json").stdout)
    assert facts["train_fingerprint"] == trials[applied["winner"]]["fingerprint"]


def test_a_space_that_does_not_fit_the_pipeline_is_refused_with_its_lines(house: House) -> None:
    space = {
        "model.dpeth": {"int": [1, 3]},
        "train.batch_size": {"int": [0, 8]},
        "train.optimizer": {"choice": ["a", "b"]},
    }
    name = house.pipeline("misfit", tune={"space": space})
    refused = house.run("tune", name, check=False)
    assert refused.returncode == 2
    lines = located_yaml.lines(house.project.pipeline_file(name))
    for key, words in (
        ("model.dpeth", "unknown key"),
        ("train.batch_size", "greater than"),
        ("train.optimizer", "adamw"),
    ):
        (said,) = [line for line in refused.stderr.splitlines() if f"tune.space.{key}" in line and words in line][:1]
        assert f"{lines['tune', 'space', key]}" in said
