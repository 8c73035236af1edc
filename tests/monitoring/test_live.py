"""Labels in the order of their arrival: the test of the champion, and the comparison with its challenger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contracts.live_request import ChallengerRequest, LiveRequest
from components.contracts.prediction_log import BLOCK_FORMAT, OPEN, begin_of, hour_of
from components.monitoring import live, sealing

START = begin_of("2026-11-29T00")
HOUR = 3600.0
CHAMPION, CHALLENGER = "a" * 64, "b" * 64


class Log:
    """A prediction log that is written hour by hour."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, 0

    def answers(self, hour: int, package: str, role: str, right: list[bool], ids: list[str] | None = None) -> list[str]:
        """Answers whose truth is `yes`; returns their ids."""
        at = START + hour * HOUR + 1
        if ids is None:
            ids = [f"{int(at):08x}-{self.made + number:016x}" for number in range(len(right))]
            self.made += len(right)
        block: dict[str, Any] = {
            "format": BLOCK_FORMAT, "model": "m", "version": "1" if package == CHAMPION else "2", "package": package,
            "role": role, "id": ids, "index": [0] * len(ids), "time": [at] * len(ids), "latency_ms": [1.0] * len(ids),
            "output": [{"label": "yes" if one else "no"} for one in right],
        }  # fmt: skip
        self._append(at, f"{role}-{hour}.predictions.jsonl", [block])
        return ids

    def numbers(
        self, hour: int, package: str, role: str, values: list[float], ids: list[str] | None = None
    ) -> list[str]:
        """Answers that are numbers; returns their ids."""
        ids = self.answers(hour, package, role, [True] * len(values), ids)
        path = self.folder / OPEN / hour_of(START + hour * HOUR + 1) / f"{role}-{hour}.predictions.jsonl"
        block = {**json.loads(path.read_text()), "output": [{"value": value} for value in values]}
        path.write_text(json.dumps(block) + "\n")
        return ids

    def truths(self, hour: int, ids: list[str], truth: str | float = "yes") -> None:
        at = START + hour * HOUR + 2
        rows = [{"id": one, "index": 0, "truth": truth, "at": None, "arrived": at} for one in ids]
        self._append(at, f"{hour}-{truth}.feedback.jsonl", rows)

    def _append(self, at: float, name: str, rows: list[dict[str, Any]]) -> None:
        path = self.folder / OPEN / hour_of(at) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)


def request(limit: float | None = None, canary: float | None = None) -> LiveRequest:
    challenger = canary if canary is None else ChallengerRequest(
        package=CHALLENGER, canary_percent=canary, alpha=0.05, min_effect=0.0
    )  # fmt: skip
    return LiveRequest(
        model="m", log="log", target="live.json", champion=CHAMPION, challenger=challenger, limit=limit,
        false_alarms_per_month=1.0, window="hour",
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


@pytest.mark.slow
def test_a_fall_of_the_accuracy_is_an_alarm_and_the_same_before_and_after_hours_are_sealed(log: Log) -> None:
    rng = np.random.default_rng(0)
    for hour in range(40):
        ids = log.answers(hour, CHAMPION, "champion", list(rng.random(20) < (0.97 if hour < 25 else 0.6)))
        log.truths(hour + 1, ids)
    now = START + 42 * HOUR
    before = live.result(request(limit=0.9), log.folder, now)
    assert before.low_accuracy is not None
    assert before.low_accuracy.window is not None
    assert "2026-11-30T02" <= before.low_accuracy.window <= "2026-11-30T06"  # labels of the 25th hour come in the 26th
    assert before.low_accuracy.began is not None
    assert "2026-11-30T01" <= before.low_accuracy.began <= "2026-11-30T03"
    sealing.seal_closed(log.folder, now)
    assert live.result(request(limit=0.9), log.folder, now) == before


def test_labels_of_a_window_that_is_not_over_wait(log: Log) -> None:
    log.truths(1, log.answers(0, CHAMPION, "champion", [True, False]))
    assert live.result(request(), log.folder, START + 1.5 * HOUR).labels == 0
    found = live.result(request(), log.folder, START + 2.1 * HOUR)
    assert (found.labels, found.right) == (2, 1)


def test_a_corrected_truth_counts_where_the_first_stood_and_other_kinds_are_counted(log: Log) -> None:
    ids = log.answers(0, CHAMPION, "champion", [True, True])
    log.truths(1, ids[:1])
    log.truths(2, ids[:1], "no")
    path = log.folder / OPEN / hour_of(START + HOUR) / "x.feedback.jsonl"
    row = {"id": ids[1], "index": 0, "truth": [1, 2], "at": None, "arrived": START + HOUR + 5}
    path.write_text(json.dumps(row) + "\n")
    found = live.result(request(), log.folder, START + 9 * HOUR)
    assert (found.labels, found.right, found.unscored) == (1, 0, 1)  # `predictions` says the same


def odds(log: Log, hour: int, package: str, role: str, classes: list[str]) -> None:
    """Answers of an hour with the probability of each class."""
    path = log.folder / OPEN / hour_of(START + hour * HOUR + 1) / f"{role}-{hour}.predictions.jsonl"
    block = json.loads(path.read_text())
    assert block["package"] == package
    outputs = [{**one, "probabilities": dict.fromkeys(classes, 1 / len(classes))} for one in block["output"]]
    path.write_text(json.dumps({**block, "output": outputs}) + "\n")


def test_a_truth_of_no_known_class_lowers_no_accuracy_until_a_version_knows_it(log: Log) -> None:
    for hour in range(10):
        ids = log.answers(hour, CHAMPION, "champion", [True] * 20)
        odds(log, hour, CHAMPION, "champion", ["yes", "no"])
        log.truths(hour, ids[:5])
        log.truths(hour, ids[5:], "Yes")
    found = live.result(request(limit=0.9, canary=0), log.folder, START + 99 * HOUR)
    assert (found.labels, found.right, found.unscored, found.unknown_classes) == (50, 50, 0, {"Yes": 150})
    assert found.low_accuracy is not None
    assert found.low_accuracy.window is None
    assert "nearest yes" in str(found.unknown_note)
    log.answers(9, CHALLENGER, "shadow", [True] * 20, ids)
    odds(log, 9, CHALLENGER, "shadow", ["yes", "no", "Yes"])
    found = live.result(request(limit=0.9, canary=0), log.folder, START + 99 * HOUR)
    assert (found.labels, found.right, found.unknown_classes, found.unknown_note) == (200, 50, {}, None)


def test_of_numbers_the_challenger_that_is_closer_more_often_is_better(log: Log) -> None:
    rng = np.random.default_rng(3)
    for hour in range(30):
        truth = rng.normal(size=20)
        ids = log.numbers(hour, CHAMPION, "champion", list(truth + rng.normal(0, 1.0, 20)))
        log.numbers(hour, CHALLENGER, "shadow", list(truth + rng.normal(0, 0.4, 20)), ids)
        for one, value in zip(ids, truth.tolist(), strict=True):
            log.truths(hour, [one], value)
    found = live.result(request(canary=0), log.folder, START + 99 * HOUR)
    assert found.comparison is not None
    assert (found.comparison.decision, found.comparison.closer, found.unscored) == ("better", True, 0)
    assert found.comparison.right[1] > 350
    beside = live.result(request(canary=10), log.folder, START + 99 * HOUR)
    assert beside.comparison is None
    assert "canary_percent: 0" in str(beside.note)


def test_two_of_numbers_that_are_as_close_are_not_told_apart(log: Log) -> None:
    rng = np.random.default_rng(4)
    for hour in range(30):
        ids = log.numbers(hour, CHAMPION, "champion", list(rng.normal(size=20)))
        log.numbers(hour, CHALLENGER, "shadow", list(rng.normal(size=20)), ids)
        log.truths(hour, ids, 0.0)
    found = live.result(request(canary=0), log.folder, START + 99 * HOUR)
    assert found.comparison is not None
    assert found.comparison.decision == "undecided"
    assert found.comparison.low < 0 < found.comparison.high


def test_a_better_shadow_is_found_on_the_same_samples(log: Log) -> None:
    rng = np.random.default_rng(1)
    for hour in range(30):
        right = rng.random(20) < 0.7
        ids = log.answers(hour, CHAMPION, "champion", list(right))
        log.answers(hour, CHALLENGER, "shadow", list(right | (rng.random(20) < 0.5)), ids)
        log.truths(hour, ids)
    found = live.result(request(canary=0), log.folder, START + 99 * HOUR)
    assert found.comparison is not None
    assert (found.comparison.decision, found.comparison.paired) == ("better", True)
    assert found.comparison.low > 0
    assert found.comparison.labels == (600, 600)


@pytest.mark.slow
def test_a_worse_canary_is_found_and_labels_from_before_it_do_not_count(log: Log) -> None:
    rng = np.random.default_rng(2)
    log.truths(0, log.answers(0, CHAMPION, "champion", [False] * 500))
    for hour in range(1, 60):
        ids = log.answers(hour, CHAMPION, "champion", list(rng.random(30) < 0.95))
        ids += log.answers(hour, CHALLENGER, "challenger", list(rng.random(10) < 0.6))
        log.truths(hour, ids)
    found = live.result(request(canary=25), log.folder, START + 99 * HOUR)
    assert found.comparison is not None
    assert (found.comparison.decision, found.comparison.paired) == ("worse", False)
    assert found.comparison.labels[0] == 59 * 30


def test_a_log_without_labels(log: Log) -> None:
    log.answers(0, CHAMPION, "champion", [True])
    found = live.result(request(limit=0.9, canary=0), log.folder, START + 9 * HOUR)
    assert (found.labels, found.low_accuracy and found.low_accuracy.window) == (0, None)
    assert found.comparison is not None
    assert found.comparison.decision == "undecided"
