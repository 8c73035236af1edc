"""The loop closes by itself: traffic drifts, the monitor retrains on labels, its challenger shadows, and is promoted by
live labels; each step stands in the ledger, and no request fails."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.contracts.prediction_log import begin_of, hour_of
from tests.endtoend import redating
from tests.endtoend.releases import Releases
from tests.house import House
from tests.monitor import receivers
from tests.prefect_api import ask, run_deployment
from tests.waiting import eventually

pytestmark = pytest.mark.slow

NAME = "moods"
GOOD, BAD = ["good", "fine", "great", "lovely", "warm", "bright"], ["bad", "poor", "awful", "grim", "cold", "dull"]
WORDS = [
    (GOOD, BAD),
    (["sick", "lit", "fire", "dope", "mint", "ace"], ["cringe", "mid", "naff", "salty", "basic", "lame"]),
    (BAD, GOOD),  # the words mean the contrary
]
PLAIN = [f"word{number}" for number in range(20)]


def texts(rng: np.random.Generator, count: int, words: int = 0) -> list[tuple[str, str]]:
    """Texts with their moods, in one of the kinds of words."""
    good, bad = WORDS[words]
    found = []
    for _ in range(count):
        is_good = bool(rng.random() < 0.5)
        chosen = [*rng.choice(good if is_good else bad, 2), *rng.choice(PLAIN, int(rng.integers(4, 9)))]
        found.append((" ".join(rng.permutation(chosen)), "yes" if is_good else "no"))
    return found


class Traffic:
    """People who ask, hour by hour, and who tell truths later."""

    def __init__(self, releases: Releases, log: Path, begin: float) -> None:
        self.releases, self.log, self.hour = releases, log, begin
        self.rng = np.random.default_rng(0)
        self.statuses: list[int] = []
        self.right = 0

    def pass_hour(self, count: int, words: int = 0) -> str:
        """Answers of an hour with their truths; returns its name."""
        url = self.releases.service(NAME).url
        with self.releases.house.client(str(url)) as client:
            for _ in range(count // 50):
                asked = texts(self.rng, 50, words)
                answer = client.post("/predict", json={"texts": [text for text, _ in asked]})
                self.statuses.append(answer.status_code)
                document = answer.json()
                told = [
                    {"id": document["id"], "index": place, "truth": truth} for place, (_, truth) in enumerate(asked)
                ]
                found = document["predictions"]
                self.right += sum(one["label"] == row["truth"] for one, row in zip(found, told, strict=True))
                assert client.post("/feedback", json=told).status_code == 202
        time.sleep(2.5)  # the worker and its shadow write within a second
        name = hour_of(self.hour)
        redating.move(self.log, name)
        self.hour += 3600
        return name


@pytest.fixture(scope="module")
def traffic(house: House) -> Iterator[Traffic]:
    rng = np.random.default_rng(1)
    with (house.root / "moods.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("text", "label"))
        rows.writerows(dict(texts(rng, 500)).items())
    house.json("new", NAME, "--from", "moods.csv")
    dataset = house.root / "data" / NAME / "dataset.yaml"
    dataset.write_text(yaml.safe_dump({**yaml.safe_load(dataset.read_text()), "input": {"max_length": 16}}))
    path = house.project.pipeline_file(NAME)
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    document["model"] = {"family": "cnn", "name": "kim"}
    document["train"] = {"epochs": 8, "threads": 1, "learning_rate": 0.003}
    document["gates"] = {"champion": {"min_effect": -0.9}}
    document["release"] = {"watch_seconds": 0.2, "grace_seconds": 1.0, "canary_percent": 0}
    document["serving"] = {"log": {"inputs": True}}
    document["monitor"] = {
        "limits": {"live_accuracy": 0.8},
        "actions": {
            "drift": ["notify"],
            "live_quality": ["notify", "retrain"],
            "notify": [{"url_env": "MOODS_HOOK"}, {"block": "custom-webhook/moods"}],
            "retrain": {"data": "log", "min_labels": 100, "promote": "if_better"},
        },
    }
    path.write_text(yaml.safe_dump(document))
    house.run("run", NAME)
    house.run("promote", NAME, "1")
    releases = Releases(house)
    with releases.api:
        begin = begin_of(hour_of(time.time() - 20 * 3600))
        yield Traffic(releases, house.project.predictions(NAME), begin)
        releases.clear(NAME)


def save_block(house: House, address: str) -> None:
    """A notification block in the house's Prefect, as a person makes it in the UI."""
    program = (
        "import sys\n"
        "from prefect.blocks.notifications import CustomWebhookNotificationBlock\n"
        "data = {'title': '{{subject}}', 'message': '{{body}}'}\n"
        "block = CustomWebhookNotificationBlock(\n"
        "    name='moods', url=sys.argv[1], json_data=data, allow_private_urls=True\n"
        ")\n"
        "block.save('moods')\n"
    )
    environment = {**house.environment, **house.json("env")}
    subprocess.run(
        [sys.executable, "-c", program, f"http://{address}/"], env=environment, check=True, capture_output=True
    )


def look(house: House) -> dict[str, Any]:
    """One look of the monitor."""
    found: dict[str, Any] = json.loads(house.run("monitor", NAME, "--json", timeout=600).stdout)
    return found


def test_drift_is_seen_answered_and_over(traffic: Traffic) -> None:
    releases, house = traffic.releases, traffic.releases.house
    with receivers.http() as (hook, messages):
        house.environment["MOODS_HOOK"] = f"json://{hook}/"
        save_block(house, hook)
        for _ in range(2):
            traffic.pass_hour(200)
        assert look(house) == {"alarms": [], "orders": [], "challenger": None, "waiting": [], "notes": []}
        before = traffic.right
        assert before > 380
        first = traffic.pass_hour(200, words=1)
        assert traffic.right - before < 150
        traffic.pass_hour(200, words=1)
        found = look(house)
        assert {alarm["trigger"] for alarm in found["alarms"]} >= {"drift", "live_quality"}
        assert min(alarm["window"] for alarm in found["alarms"]) >= first
        # One message a trigger: a second hour with drift is held back.
        done = {
            (order["trigger"], order["action"]): order["text"]
            for order in found["orders"]
            if order["mode"] == "carry_out"
        }
        assert done["live_quality", "retrain"] == "version 2 was trained and is asked for as challenger"
        assert done["drift", "notify"] == "told $MOODS_HOOK, custom-webhook/moods"
        assert len(messages) == 4  # two triggers, two recipients
        assert sum("retrain is carried out" in message["message"] for message in messages) == 2
        facts = yaml.safe_load((house.root / "data" / NAME / "dataset.yaml").read_text())
        assert len(facts["source"]["added"]) == 1

        releases.wait_for(NAME, "2", "served", "challenger")
        second = look(house)
        assert second["orders"] == []  # answered alarms are not answered again
        for _ in range(2):
            traffic.pass_hour(200, words=1)
        assert "better" in str(look(house)["challenger"])
        releases.wait_for(NAME, "2", "served")
        eventually(lambda: releases.alias(NAME) == "2", "the champion's alias names version 2")
    before = traffic.right
    traffic.pass_hour(200, words=1)
    assert traffic.right - before > 180
    assert set(traffic.statuses) == {200}
    actions = [
        (entry.facts["action"], entry.facts["state"], entry.asked_by)
        for entry in releases.entries(NAME)
        if entry.event == "monitored"
    ]
    assert actions[-2:] == [("promote", "ordered", "modelyard monitor"), ("promote", "done", "modelyard monitor")]
    assert all(len(entry.facts["evidence"]) == 64 for entry in releases.entries(NAME) if entry.event == "monitored")
    listed = house.json("monitor", NAME, "--orders")
    assert {one["state"] for one in listed} <= {"done", "held_back"}
    assert {one["action"] for one in listed if one["state"] == "done"} == {"notify", "retrain", "promote"}
    house.run("history", NAME, "--verify")
    run_by_the_platform(house)


def run_by_the_platform(house: House) -> None:
    """The schedule of `monitor:` is registered, and the stack's runner makes a look."""
    before = house.json("monitor", NAME, "--orders")
    house.run("schedule", NAME)
    services = {service["name"]: service for service in house.json_of_status()}
    api = f"{services['prefect']['url']}/api"
    deployment = ask(house, "GET", f"{api}/deployments/name/monitor/monitor-{NAME}")
    assert deployment["schedules"][0]["schedule"]["cron"] == "10 * * * *"
    state = run_deployment(house, f"monitor/monitor-{NAME}")
    assert state["type"] == "COMPLETED", state
    # The words of before are gone, which may be drift to the new version too; its message then waits for the cooldown.
    new = house.json("monitor", NAME, "--orders")[len(before) :]
    assert state["message"].endswith(f" alarms, {len(new)} new orders"), state
    assert {(one["action"], one["state"]) for one in new} <= {("notify", "held_back")}
    house.run("unschedule", NAME)
    ask(house, "GET", f"{api}/deployments/name/monitor/monitor-{NAME}", missing=True)


@pytest.mark.long
def test_a_paused_monitor_holds_back_and_a_person_carries_it_out(traffic: Traffic) -> None:
    releases, house = traffic.releases, traffic.releases.house
    path = house.project.pipeline_file(NAME)
    document = yaml.safe_load(path.read_text())
    document["monitor"] = {
        "limits": {"live_accuracy": 0.8},
        "actions": {"live_quality": ["roll_back"], "cooldown_hours": 0, "max_per_day": 9},
    }
    path.write_text(yaml.safe_dump(document))
    house.run("monitor", NAME, "--pause")
    traffic.pass_hour(200, words=2)
    (order,) = [one for one in look(house)["orders"] if one["action"] == "roll_back"]
    assert (order["mode"], order["text"]) == ("hold_back", "held back: the monitor is paused")
    house.run("monitor", NAME, "--resume")
    assert look(house)["orders"] == []  # it waits for a person now
    assert house.run("monitor", NAME, "--approve", "0" * 16, check=False).returncode == 2
    assert "version 1" in house.run("monitor", NAME, "--approve", order["order"]).stdout
    eventually(lambda: releases.alias(NAME) == "1", "the champion's alias names version 1")
    (asked,) = [one for one in releases.entries(NAME) if one.event == "asked" and one.facts.get("order")]
    assert asked.facts["order"] == order["order"]
    again = house.run("monitor", NAME, "--approve", order["order"], check=False)
    assert again.returncode == 2
    assert "was carried out" in again.stderr
