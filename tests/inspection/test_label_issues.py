"""Confident learning against labels that are known to be wrong."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.datasets import load_digits

from components.inspection import label_issues, outliers, predictions


def test_the_published_rule_on_a_small_example() -> None:
    """Thresholds 0.7 and 0.6: the third sample reaches that of the other class, the last reaches none."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    found = label_issues.find(probabilities, labels)
    assert found.rows.tolist() == [2]
    assert found.suggested.tolist() == [1]
    assert found.margins.tolist() == [-0.2 + 0.0] or np.allclose(found.margins, [-0.2])
    assert found.noise == (1 / 3) * 3 / 6


def test_flipped_labels_of_digits_are_named() -> None:
    images, truth = load_digits(return_X_y=True)
    images, truth = images[:700], truth[:700]
    rng = np.random.default_rng(0)
    flipped = rng.choice(len(truth), 35, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + rng.integers(1, 10, 35)) % 10
    probabilities = predictions.out_of_fold(images, labels, np.arange(len(labels)), "judging")
    found = label_issues.find(probabilities, labels)
    right = np.isin(found.rows, flipped)
    assert right.mean() > 0.8  # precision
    assert right.sum() / len(flipped) > 0.7  # recall
    assert abs(found.noise - 0.05) < 0.03
    named = found.suggested[right] == truth[found.rows[right]]
    assert named.mean() > 0.9


def test_texts_of_few_different_words_have_factors() -> None:
    counts = np.random.default_rng(0).integers(0, 3, (60, 5)).astype(np.float64)
    assert outliers.factors(sparse.csr_matrix(counts)).shape == (60,)


def test_a_far_sample_is_an_outlier_and_copies_are_none() -> None:
    points = np.random.default_rng(0).normal(size=(300, 40))
    points[:30] = points[30]
    points[7] = 30
    factors = outliers.factors(points)
    assert factors.argmax() == 7
    assert factors[7] > outliers.FACTOR
    assert (np.delete(factors, 7) < outliers.FACTOR).all()
