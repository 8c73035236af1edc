import numpy as np
import pytest

from components.evaluation.calibration import expected_calibration_error, reliability


def _two_classes(confidences: list[float]) -> np.ndarray:
    return np.array([[value, 1 - value] for value in confidences], np.float32)


def test_by_hand() -> None:
    """Two bins: (0, 0.5] is empty; in (0.5, 1] confidence is 0.75 on average and half of the answers are right."""
    bins = reliability(_two_classes([0.6, 0.9, 0.7, 0.8]), np.array([0, 1, 1, 0]), bins=2)
    assert [part.samples for part in bins] == [0, 4]
    assert bins[1].confidence == pytest.approx(0.75)
    assert bins[1].accuracy == 0.5
    assert expected_calibration_error(bins) == pytest.approx(0.25)


def test_agrees_with_the_definition_bin_by_bin() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(500, 4)) * 2
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    truth = rng.integers(0, 4, 500)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    expected = 0.0
    for place in range(15):
        inside = (confidence > place / 15) & (confidence <= (place + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].astype(np.float64).mean())
    assert expected_calibration_error(reliability(probabilities, truth)) == pytest.approx(expected, abs=1e-9)


def test_as_sure_as_right_is_zero_and_the_edges_have_their_bin() -> None:
    bins = reliability(_two_classes([1.0, 1.0]), np.array([0, 0]))
    assert bins[-1].samples == 2
    assert expected_calibration_error(bins) == 0.0
    assert sum(part.samples for part in reliability(_two_classes([0.5, 2 / 3, 1.0]), np.array([0, 0, 0]))) == 3
