"""The loop closes by itself on SST-2: drift, late truths, an alarm, a retraining, a challenger, its promotion.

A copy of the project with its whole stack trains and serves `sst2`. Hours of traffic pass without waiting for them
(the lines of the log are dated). From the third hour on, the words that tell moods apart are new ones, as slang would
be; the truths of an hour come in the next one. What looks, retrains and promotes is the platform's own monitor, as flow
runs of its deployment. Figures: accuracy before, with the drift, and after the promotion, all answers that were not
200, and what the ledger says.

    MODELYARD_MIRROR=... python -m benchmarks.closed_loop [--answers 600]
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

from benchmarks import figure
from benchmarks.figure import Figure, tell
from components.contracts.prediction_log import begin_of, hour_of
from components.core.errors import StackError
from components.ingestion import sample_file
from tests.endtoend import redating
from tests.endtoend.releases import Releases
from tests.house import House
from tests.prefect_api import run_deployment
from tests.project_copy import running_copy

NAME = "closed loop"
MODEL = "sst2"
CLASSES = ("negative", "positive")
WORDS = 400  # that become new ones
BATCH = 50
MONITOR = {
    "limits": {"live_accuracy": 0.7},
    "actions": {
        "live_quality": ["retrain"],
        "retrain": {"data": "log", "min_labels": 500, "promote": "if_better"},
    },
}


class Traffic:
    """People who ask hour by hour, and tell the truths an hour later."""

    def __init__(self, releases: Releases, texts: list[tuple[str, str]], answers: int) -> None:
        self.releases, self.answers = releases, answers
        self.log = releases.house.project.predictions(MODEL)
        self.rng = random.Random(0)  # samples, not secrets
        self.texts, self.new_words = texts, slang(texts)
        self.hour = begin_of(hour_of(time.time() - 24 * 3600))
        self.failed: list[int] = []
        self.requests = 0
        self.untold: list[tuple[str, int, str]] = []  # id, index, truth

    def pass_hour(self, *, drifted: bool) -> float:
        """Answers of an hour, and the truths of the hour before; the share of right answers."""
        shift = self.hour - begin_of(hour_of(time.time()))
        told = [
            {"id": redating.shifted(one, -shift), "index": place, "truth": truth} for one, place, truth in self.untold
        ]
        right, answered = 0, list[tuple[str, int, str]]()
        with self.releases.house.client(str(self.releases.service(MODEL).url)) as client:
            for begin in range(0, len(told), 1000):
                assert client.post("/feedback", json=told[begin : begin + 1000]).status_code == 202
            for _ in range(self.answers // BATCH):
                asked = [self._text(drifted) for _ in range(BATCH)]
                answer = client.post("/predict", json={"texts": [text for text, _ in asked]})
                self.requests += 1
                if answer.status_code != 200:
                    self.failed.append(answer.status_code)
                    continue
                document = answer.json()
                answered += [(document["id"], place, truth) for place, (_, truth) in enumerate(asked)]
                pairs = zip(document["predictions"], asked, strict=True)
                right += sum(one["label"] == truth for one, (_, truth) in pairs)
        time.sleep(2.5)  # workers write within a second
        now = {one[8:]: one for one in redating.move(self.log, hour_of(self.hour))}
        self.untold = [(now[one[8:]], place, truth) for one, place, truth in answered]
        self.hour += 3600
        return right / max(1, len(answered))

    def _text(self, drifted: bool) -> tuple[str, str]:
        text, truth = self.rng.choice(self.texts)
        if drifted:
            text = " ".join(self.new_words.get(word, word) for word in text.split())
        return text, truth


def slang(texts: list[tuple[str, str]]) -> dict[str, str]:
    """New words for those that tell the classes apart best: by the log odds, weighted by their number."""
    counts = {label: Counter(word for text, own in texts if own == label for word in text.split()) for label in CLASSES}
    totals = {label: sum(count.values()) for label, count in counts.items()}
    weights = {}
    for word in set(counts[CLASSES[0]]) | set(counts[CLASSES[1]]):
        here, there = (counts[label][word] for label in CLASSES)
        odds = math.log((here + 1) / totals[CLASSES[0]]) - math.log((there + 1) / totals[CLASSES[1]])
        weights[word] = abs(odds) * (here + there)
    chosen = sorted(weights, key=lambda word: (-weights[word], word))[:WORDS]
    return {word: f"zq{word[::-1]}" for word in chosen}


def measure(answers: int = 600) -> list[Figure]:
    """The loop from the first answer to the one of the retrained model."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, running_copy(Path(folder) / "project") as house:
        path = house.project.pipeline_file(MODEL)
        document = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({
            **document, "serving": {"log": {"inputs": True}}, "monitor": MONITOR,
            "release": {"canary_percent": 0, "watch_seconds": 2.0, "grace_seconds": 1.0},
        }))  # fmt: skip
        house.run("run", MODEL, timeout=1800)
        house.run("promote", MODEL, "1")
        house.run("schedule", MODEL)
        releases = Releases(house)
        with releases.api:
            figures = _loop(Traffic(releases, _texts(house), answers), begin)
            releases.clear(MODEL)
        return figures


def _loop(traffic: Traffic, begin: float) -> list[Figure]:
    releases = traffic.releases
    before = [traffic.pass_hour(drifted=False) for _ in range(2)]
    tell(f"accuracy {_told(before)}; the monitor: {_look(releases.house)}")
    with_drift, drift_begin = [], traffic.hour
    while not [one for one in releases.entries(MODEL) if one.facts.get("action") == "retrain"]:
        with_drift.append(traffic.pass_hour(drifted=True))
        tell(f"drift: accuracy {with_drift[-1]:.3f}; the monitor: {_look(releases.house)}")
        assert len(with_drift) < 8, "no alarm in eight hours"
    late = (traffic.hour - drift_begin) / 3600
    releases.wait_for(MODEL, "2", "served", "challenger")
    beside = 0
    while releases.alias(MODEL) != "2":
        with_drift.append(traffic.pass_hour(drifted=True))
        beside += 1
        tell(f"beside its challenger: accuracy {with_drift[-1]:.3f}; the monitor: {_look(releases.house)}")
        assert beside < 10, "no decision in ten hours"
    releases.wait_until_serves(MODEL, "2")
    after = traffic.pass_hour(drifted=True)
    tell(f"version 2: accuracy {after:.3f}")
    releases.house.run("history", MODEL, "--verify")
    events = [(one.facts["action"], one.facts["state"], one.asked_by) for one in releases.entries(MODEL)
              if one.event == "monitored"]  # fmt: skip
    tell(f"ledger: {'; '.join(f'{action} {state} by {who}' for action, state, who in events)}")
    waited = sum(state not in ("ordered", "done") or who != "modelyard monitor" for _, state, who in events)
    drifted = sum(with_drift) / len(with_drift)
    return [
        Figure(NAME, "accuracy before the drift", sum(before) / len(before)),
        Figure(NAME, "... with the drift, version 1", drifted),
        Figure(NAME, "... with the drift, version 2, which the monitor promoted", after, at_least=drifted),
        Figure(NAME, "hours of traffic from the drift to the retraining's order", late, "h"),
        Figure(NAME, "hours of traffic beside the challenger until its promotion", float(beside), "h"),
        Figure(NAME, "orders that failed or waited for a person", float(waited), at_most=0),
        Figure(NAME, f"failed requests of {traffic.requests:,}", float(len(traffic.failed)), at_most=0),
        Figure(NAME, "minutes for all of it", (time.monotonic() - begin) / 60, "min"),
    ]


def _look(house: House) -> str:
    """A flow run of the monitor's deployment by the platform's runner; its message."""
    state = run_deployment(house, f"monitor/monitor-{MODEL}", 1200)
    if state["type"] != "COMPLETED":
        last = house.json("monitor", MODEL, "--orders")[-1:]
        raise StackError("the monitor failed", got=f"{state['message']}: {last}")
    return str(state["message"])


def _texts(house: House) -> list[tuple[str, str]]:
    """Sentences of the train split with their labels, as they were ingested."""
    table = house.project.dataset(MODEL) / "raw" / sample_file.FILE_NAME
    samples = (sample for group in sample_file.groups(table) for sample in group)
    return [(sample.values["text"], sample.values["label"]) for sample in samples if sample.split == "train"]


def _told(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


if __name__ == "__main__":
    arguments = figure.parser(__doc__)
    arguments.add_argument("--answers", type=int, default=600, help="answers an hour")
    sys.exit(figure.command(measure, arguments))
