"""Figures by the hour and the look-up of one answer: sealed and open hours alike, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.contracts.prediction_log import OPEN, begin_of
from components.monitoring import hourly, live_quality, lookup, sealing
from tests.monitoring.test_sealing import HOUR, START, block, write

LATER = "2026-11-29T14"


def identity(hour: str, number: int) -> str:
    return f"{int(begin_of(hour)):08x}-{number:016x}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A sealed hour of ten answers, and an open one of four by another version; eight of the ten have a truth."""
    write(tmp_path, block(10))
    told = [
        {"id": identity(HOUR, n), "index": 0, "truth": "yes" if n else "no", "at": None, "arrived": START + 9}
        for n in range(8)
    ]
    write(tmp_path, "".join(json.dumps(one) + "\n" for one in told), "1-a.feedback.jsonl")
    sealing.seal_closed(tmp_path, START + 4000)
    later = tmp_path / OPEN / LATER
    later.mkdir(parents=True)
    begin = begin_of(LATER)
    text = block(4, version="4", id=[identity(LATER, n) for n in range(4)], time=[begin + n for n in range(4)],
                 latency_ms=[1.0, 2.0, 3.0, 100.0])  # fmt: skip
    (later / "1-a.predictions.jsonl").write_text(text)
    return tmp_path


def files(log: Path) -> dict[str, int]:
    return {path.relative_to(log).as_posix(): path.stat().st_mtime_ns for path in log.rglob("*")}


def test_each_hour_has_its_figures(log: Path) -> None:
    before = files(log)
    found = hourly.hourly(log)
    assert [(one.hour, one.version, one.answers, one.sealed) for one in found.hours] == [
        (HOUR, "3", 10, True), (LATER, "4", 4, False),
    ]  # fmt: skip
    first, second = found.hours
    low, high = live_quality._proportion(np.array([1.0] * 7 + [0.0]))
    assert (first.metric, first.value, first.labelled) == ("accuracy", 7 / 8, 8)
    assert (first.low, first.high) == (low, high)
    assert (second.metric, second.labelled) == (None, 0)
    assert second.p50_ms == 2.5
    assert files(log) == before


def test_earlier_hours_are_left_out_and_counted(log: Path) -> None:
    found = hourly.hourly(log, most_hours=1)
    assert [one.hour for one in found.hours] == [LATER]
    assert found.left_out == 1


def test_a_log_without_answers(tmp_path: Path) -> None:
    assert hourly.hourly(tmp_path) == ([], 0)


def test_an_answer_is_found_by_its_id(log: Path) -> None:
    before = files(log)
    [sealed] = lookup.find(log, identity(HOUR, 3))
    assert (sealed["version"], sealed["sealed"], sealed["output"]) == ("3", HOUR, {"label": "yes"})
    [opened] = lookup.find(log, identity(LATER, 3))
    assert (opened["version"], opened["sealed"], opened["latency_ms"]) == ("4", None, 100.0)
    assert lookup.find(log, identity(HOUR, 99)) == []
    assert json.dumps([sealed, opened])
    assert files(log) == before


def test_the_input_of_an_answer_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path, block(1, inputs=["secret"]))
    [found] = lookup.find(tmp_path, identity(HOUR, 0))
    assert "input" not in found
