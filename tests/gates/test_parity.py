"""The parts of the parity gate that need no endpoint: ways of asking, and whose word the order of labels is."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from components.gates.parity import difference, ways
from tests import small_package


def test_every_way_asks_for_every_example_once() -> None:
    found = {way.name: way for way in ways(16, 64)}
    assert list(found) == ["alone", "in a batch", "reversed", "shuffled"]
    assert all(sorted(way.order) == list(range(16)) for way in found.values())
    assert found["alone"].at_once == 1
    assert len({tuple(way.order) for way in found.values()}) == 3
    assert ways(16, 64) == ways(16, 64)


def test_the_difference_is_by_name() -> None:
    expected = {"cat": 0.7, "dog": 0.3}
    assert difference(expected, {"dog": 0.3, "cat": 0.7}) == 0
    assert difference(expected, {"cat": 0.3, "dog": 0.7}) == pytest.approx(0.4)
    assert difference(expected, {"cat": 0.7, "owl": 0.3}) == math.inf
    assert difference(expected, {"cat": 0.7, "dog": math.nan}) == math.inf


@pytest.mark.parametrize("named_order", [True, False])
def test_the_training_says_the_order_of_labels_not_the_signature(tmp_path: Path, named_order: bool) -> None:
    wrong = ["light", "dark", "left"]
    package = small_package.build(tmp_path / "package", signature_classes=wrong, named_order=named_order)
    assert package.signature().classes == wrong
    assert package.golden_classes() == small_package.CLASSES
