"""Floors on figures scored afresh: overall, in every class, and no answer that is no number."""

from __future__ import annotations

import pytest

from components.contracts.gate_request import GateResult
from components.contracts.pipeline import FloorSpec
from components.gates import stage
from tests.gates.small_release import SAMPLES, WRONG, SmallRelease


def floors_result(
    release: SmallRelease, name: str = "good", gates: dict[str, FloorSpec] | None = None, **options: object
) -> GateResult:
    request = release.request(release.bundle(name, **options), None, ("floors",), **(gates or {}))
    (result,) = stage.check(request).results
    assert result.passed == (result.next_step is None)
    return result


def test_at_the_floor_passes(release: SmallRelease) -> None:
    result = floors_result(release, gates={"accuracy": FloorSpec(min=1 - WRONG / SAMPLES)})
    assert result.passed
    assert result.figures["accuracy"] == pytest.approx(1 - WRONG / SAMPLES)


def test_figures_are_scored_not_read(release: SmallRelease) -> None:
    result = floors_result(release, figures={"accuracy": 0.999}, gates={"accuracy": FloorSpec(min=0.96)})
    assert not result.passed
    assert "accuracy 0.9500 < 0.9600" in result.reason


def test_a_weak_class_is_named(release: SmallRelease) -> None:
    result = floors_result(release, gates={"accuracy": FloorSpec(min=0.5, slice_min=0.999)})
    assert not result.passed
    assert "accuracy of class" in result.reason
    assert result.figures["weakest_class"] in ("dark", "light", "left")


def test_every_missed_floor_is_named(release: SmallRelease) -> None:
    floors = {"accuracy": FloorSpec(min=0.99), "macro_f1": FloorSpec(min=0.99, slice_min=0.98)}
    result = floors_result(release, gates=floors)
    assert "accuracy 0.95" in result.reason
    assert "macro_f1 0.9" in result.reason


def test_answers_that_are_no_numbers_are_refused_whatever_the_rest_is_worth(release: SmallRelease) -> None:
    result = floors_result(release, nan_above=0.03, gates={"accuracy": FloorSpec(min=0.01)})
    assert not result.passed
    assert "not finite" in result.reason
    assert 0 < int(result.figures["not_finite"]) < SAMPLES


def test_classes_meet_by_name(release: SmallRelease) -> None:
    result = floors_result(release, signature_classes=["light", "dark", "left"])
    assert not result.passed
    assert float(result.figures["accuracy"]) < 0.5
