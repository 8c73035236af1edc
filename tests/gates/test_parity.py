"""The parts of the parity gate that need no endpoint: ways of asking, and what is wrong with answers, in words."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from components.gates.parity import Seen, cause, problems_of, ways
from tests import small_package

SIZES = [50, 10, 40, 20, 30]


def test_every_way_asks_for_every_example_once() -> None:
    found = {way.name: way for way in ways(SIZES, 64)}
    assert list(found) == ["alone", "in a batch", "reversed", "shuffled", "short beside long"]
    assert all(sorted(way.order) == list(range(5)) for way in found.values())
    assert found["alone"].at_once == 1
    assert len({tuple(way.order) for way in found.values()}) == 4
    assert [SIZES[position] for position in found["short beside long"].order] == [10, 50, 20, 40, 30]
    assert ways(SIZES, 64) == ways(SIZES, 64)


def test_examples_of_one_size_are_not_mixed_by_size() -> None:
    assert "short beside long" not in {way.name for way in ways([8, 8, 8], 64)}


def seen(way: str, difference: float, file: str = "000.txt", label_differs: bool = False) -> Seen:
    return Seen(file, way, "truth", "expected", "answered", difference, label_differs)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([seen("alone", 1e-6), seen("in a batch", 2e-6)], []),
        ([seen("alone", 0.5), seen("in a batch", 0.5)], ["by 0.5", "normalises or decodes"]),
        ([seen("alone", math.nan), seen("in a batch", 0.0)], ["otherwise than in training"]),
        ([seen("alone", math.inf), seen("alone", 0.0, "001.txt")], ["in other words", "some of them"]),
        ([seen("alone", 1e-6), seen("in a batch", 0.2), seen("short beside long", 0.2)], ["mixes up"]),
        ([seen("alone", 0.0), seen("in a batch", 0.0), seen("short beside long", 0.2)], ["depends on its padding"]),
        ([seen("alone", 1e-6, label_differs=True)], ["otherwise than in training"]),
    ],
)
def test_what_differs_is_said_with_a_guess(found: list[Seen], words: list[str], tmp_path: Path) -> None:
    problems = problems_of(found, small_package.build(tmp_path / "package"), 1e-4)
    assert len(problems) == bool(words)
    assert all(word in problems[0] for word in words)


def test_the_training_says_the_order_of_labels_not_the_signature(tmp_path: Path) -> None:
    wrong = ["light", "dark", "left"]
    package = small_package.build(tmp_path / "package", signature_classes=wrong)
    (problem,) = problems_of([seen("alone", 0.5)], package, 1e-4)
    assert "light is the training's dark" in problem


def test_of_a_log_the_error_is_told_not_what_follows_it() -> None:
    assert cause("  File x\nImportError: no image\n\n[ERROR] startup failed") == "ImportError: no image"
    assert cause("out of memory\nkilled\n") == "killed"
    assert cause("") == ""
