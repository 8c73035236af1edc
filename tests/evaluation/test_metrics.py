"""Against scikit-learn on random data, absent classes included."""

import numpy as np
import pytest
from sklearn import metrics as reference

from components.evaluation.metrics import (
    accuracy,
    class_figures,
    confusion_matrix,
    macro_f1,
    negative_log_likelihood,
)

CLASSES = 6


def _draw(seed: int, present: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Labels (200,) from the given classes and probabilities (200, 6)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(200, CLASSES))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return rng.choice(present, 200), probabilities.astype(np.float32)


@pytest.mark.parametrize("present", [list(range(CLASSES)), [0, 2, 3], [5]])
@pytest.mark.parametrize("seed", range(3))
def test_agree_with_scikit_learn(seed: int, present: list[int]) -> None:
    truth, probabilities = _draw(seed, present)
    predicted = probabilities.argmax(axis=1)
    predicted[predicted == 4] = 0  # class 4 is never answered; with [0, 2, 3] it occurs nowhere
    labels = list(range(CLASSES))
    confusion = confusion_matrix(truth, predicted, CLASSES)
    assert np.array_equal(confusion, reference.confusion_matrix(truth, predicted, labels=labels))
    assert accuracy(confusion) == pytest.approx(reference.accuracy_score(truth, predicted))
    assert macro_f1(confusion) == pytest.approx(
        reference.f1_score(truth, predicted, average="macro", zero_division=0.0)
    )
    expected = reference.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0.0)
    np.testing.assert_allclose(np.array(class_figures(confusion)).T, np.array(expected), atol=1e-12)
    wide = probabilities.astype(np.float64)
    nll = reference.log_loss(truth, wide / wide.sum(axis=1, keepdims=True), labels=labels)
    assert negative_log_likelihood(probabilities, truth) == pytest.approx(nll, rel=1e-5)


def test_a_right_class_of_probability_zero_is_dear_but_finite() -> None:
    probabilities = np.array([[1.0, 0.0]], np.float32)
    assert 80 < negative_log_likelihood(probabilities, np.array([1])) < 100
