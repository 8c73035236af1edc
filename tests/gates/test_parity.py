"""The parts of the parity gate that need no endpoint: the batch plans, and the problems as text."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from components.gates.parity import ParityRow, batch_plans, cause, problems_of
from tests import small_package

SIZES = [50, 10, 40, 20, 30]


def test_every_batch_plan_has_every_example_once() -> None:
    plans = {plan.name: plan for plan in batch_plans(SIZES, 64)}
    assert list(plans) == ["alone", "in a batch", "reversed", "shuffled", "short beside long"]
    assert all(sorted(plan.positions) == list(range(5)) for plan in plans.values())
    assert plans["alone"].batch_size == 1
    assert len({tuple(plan.positions) for plan in plans.values()}) == 4
    assert [SIZES[position] for position in plans["short beside long"].positions] == [10, 50, 20, 40, 30]
    assert batch_plans(SIZES, 64) == batch_plans(SIZES, 64)


def test_examples_of_one_size_are_not_mixed_by_size() -> None:
    assert "short beside long" not in {plan.name for plan in batch_plans([8, 8, 8], 64)}


def row(batch_plan: str, difference: float, file: str = "000.txt", label_differs: bool = False) -> ParityRow:
    return ParityRow(file, batch_plan, "truth", "expected", "answered", difference, label_differs)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([row("alone", 1e-6), row("in a batch", 2e-6)], []),
        ([row("alone", 0.5), row("in a batch", 0.5)], ["by 0.5", "normalises or decodes"]),
        ([row("alone", math.nan), row("in a batch", 0.0)], ["otherwise than in training"]),
        ([row("alone", math.inf), row("alone", 0.0, "001.txt")], ["in other words", "some of them"]),
        ([row("alone", 1e-6), row("in a batch", 0.2), row("short beside long", 0.2)], ["mixes up"]),
        ([row("alone", 0.0), row("in a batch", 0.0), row("short beside long", 0.2)], ["depends on its padding"]),
        ([row("alone", 1e-6, label_differs=True)], ["otherwise than in training"]),
    ],
)
def test_differences_are_reported_with_a_diagnosis(rows: list[ParityRow], words: list[str], tmp_path: Path) -> None:
    problems = problems_of(rows, small_package.build(tmp_path / "package"), 1e-4)
    assert len(problems) == bool(words)
    assert all(word in problems[0] for word in words)


def test_the_training_says_the_order_of_labels_not_the_signature(tmp_path: Path) -> None:
    wrong = ["light", "dark", "left"]
    package = small_package.build(tmp_path / "package", signature_classes=wrong)
    (problem,) = problems_of([row("alone", 0.5)], package, 1e-4)
    assert "light is the training's dark" in problem


def test_of_a_log_the_error_is_told_not_what_follows_it() -> None:
    assert cause("  File x\nImportError: no image\n\n[ERROR] startup failed") == "ImportError: no image"
    assert cause("out of memory\nkilled\n") == "killed"
    assert cause("") == ""
