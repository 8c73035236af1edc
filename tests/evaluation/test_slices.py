import numpy as np
import pytest

from components.evaluation.slices import class_slices


def test_one_slice_a_class_the_weakest_first() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0], [0.7, 0.3, 0.0]], np.float32)
    slices = class_slices(probabilities, np.array([0, 1, 1, 1]), ["cat", "dog", "bird"])
    assert [part.name for part in slices] == ["dog", "cat"]
    assert slices[0].samples == 3
    assert slices[0].accuracy == pytest.approx(1 / 3)
    assert slices[0].confidence == pytest.approx(0.7)
    assert slices[0].taken_for == "cat"
    assert slices[1].taken_for is None
