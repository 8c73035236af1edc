"""Which windows are judged, predictions as columns, the section `monitor:`, and what it does not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from components.contracts.monitor_spec import MonitorSpec
from components.contracts.pipeline import PipelineSpec, ServingOptions
from components.contracts.prediction_log import begin_of
from components.identity.manifest import Manifest
from components.monitoring import output_columns, windows
from components.monitoring.sealing import SealedHour
from components.packaging import bundle_inputs
from components.tasks import row_suite


def _hour(name: str) -> SealedHour:
    facts: dict[str, Any] = {"predictions": 3, "lines": {"a": 1}}
    return SealedHour(name, Path(name), Manifest(kind="predictions", facts=facts, files={}, digest="0" * 64))


HOURS = [_hour(name) for name in ("2026-11-28T23", "2026-11-29T01", "2026-11-29T01.2", "2026-11-29T13")]


def test_hours_and_days_that_are_over_with_what_came_late() -> None:
    now = begin_of("2026-11-29T20")
    found = windows.of_log(HOURS, "hour", None, None, now)
    assert [(one.name, len(one.parts)) for one in found] == [
        ("2026-11-28T23", 1), ("2026-11-29T01", 2), ("2026-11-29T13", 1),
    ]  # fmt: skip
    assert [one.name for one in windows.of_log(HOURS, "day", None, None, now)] == ["2026-11-28"]
    assert [one.name for one in windows.of_log(HOURS, "day", None, None, now + 86_400)] == ["2026-11-28", "2026-11-29"]
    chosen = windows.of_log(HOURS, "hour", "2026-11-29", "2026-11-29", now)
    assert [one.name for one in chosen] == ["2026-11-29T01", "2026-11-29T13"]
    assert windows.of_log(HOURS, "hour", None, "2026-11-29T01", now)[-1].name == "2026-11-29T01"
    assert windows.of_log(HOURS[3:], "hour", None, None, begin_of("2026-11-29T14")) == []  # its last answers are queued


def test_predictions_become_columns() -> None:
    found = output_columns.columns(
        [
            {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}},
            {"value": 3, "interval": [1.0, 2.0]},
            {"text": "three", "stopped": True, "boxes": [{"label": "x"}], "labels": ["b", "a"]},
        ]
    )
    assert found["output.label"] == ["a", None, None]
    assert found["output.confidence"] == [0.75, None, None]
    assert found["output.value"] == [None, 3.0, None]
    assert found["output.interval.mean"] == [None, 1.5, None]
    assert found["output.text.characters"] == [None, None, 5.0]
    assert found["output.boxes.count"] == [None, None, 1.0]
    assert found["output.labels"] == [None, None, '["a", "b"]']
    assert "output.stopped" not in found


def test_the_section_is_strict_and_its_absence_changes_no_document() -> None:
    plain = PipelineSpec.model_validate(
        {"name": "m", "task": "image-classification", "dataset": "d", "model": {"family": "cnn", "name": "textbook"}}
    )
    assert not {"monitor", "enforce"} & {*plain.model_dump(mode="json"), *plain.serving.model_dump(mode="json")}
    assert MonitorSpec() == MonitorSpec(window="hour", false_alarms_per_month=1.0)
    for wrong in ({"window": "week"}, {"false_alarms_per_month": 0}, {"columns": []}, {"limits": {"psi": 0}}):
        with pytest.raises(ValidationError):
            MonitorSpec.model_validate(wrong)


def test_the_enforced_expectations_are_in_the_key_of_the_bundle_and_only_they() -> None:
    from components import tasks

    task = tasks.find("text-classification")
    one = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "words", "max_value": 9}}
    suites = [
        row_suite.select({"raw": [{**one, "kwargs": {**one["kwargs"], "max_value": most}}], "prepared": []}, task)
        for most in (9, 10)
    ]
    identity: Any = type("Identity", (), {"functions": {}})()
    keys = [
        bundle_inputs.inputs("p", "1", ServingOptions(enforce="flag"), [], identity, None, suite) for suite in suites
    ]
    assert keys[0] != keys[1]
    assert "row expectations" not in bundle_inputs.inputs("p", "1", ServingOptions(), [], identity)


@pytest.mark.parametrize(
    ("window", "season", "name", "phase"),
    [
        ("hour", "none", "2026-11-29T13", None),
        ("hour", "day", "2026-11-29T13", "13:00"),
        ("hour", "week", "2026-11-29T00", "Sun 00:00"),
        ("day", "week", "2026-11-30", "Mon"),
    ],
)
def test_phases_of_seasons(window: Any, season: Any, name: str, phase: str | None) -> None:
    assert windows.phase(name, MonitorSpec(window=window, season=season)) == phase


def test_a_day_has_no_phase_of_the_day() -> None:
    with pytest.raises(ValidationError, match="whole days have no hours"):
        MonitorSpec(window="day", season="day")
    assert "season" not in MonitorSpec().model_dump()
