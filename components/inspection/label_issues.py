"""Labels that are likely to be wrong, by confident learning.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70, 2021. It counts a
sample for a class if its probability reaches the mean probability of that class among the samples that have its label
(the confident joint, equation 1), and scales the counts to those of the labels (equation 3). The sum off the diagonal
is the number of wrong labels. So many samples are named, those first whose probability of another class exceeds that of
their label most (the normalised margin of section 3.2), over all classes: cells of the joint of one or two samples are
too few to be pruned one by one.

Legend: N samples, K classes, S suspects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Suspects(NamedTuple):
    """Samples whose label is likely to be wrong, the most likely first.

    Args:
        rows: (S,) numbers of the samples.
        suggested: (S,) the class that each counts for.
        margins: (S,) probability of the label minus that of the suggested class, -1 to 1.
        noise: estimated share of wrong labels: of the confident joint, scaled to the counts of the labels.
    """

    rows: NDArray[np.int64]
    suggested: NDArray[np.int64]
    margins: NDArray[np.float64]
    noise: float


def find(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspects:
    """Find suspects.

    Args:
        probabilities: (N, K) out of sample: of a model that was not trained on the sample.
        labels: (N,) the given classes, 0 to K - 1; no sample counts for a class that does not occur.
    """
    count, classes = probabilities.shape
    joint = _calibrated(_confident_class(probabilities, labels), labels, classes)
    wrong = float(joint.sum() - joint.trace())
    others = probabilities.copy()
    others[np.arange(count), labels] = -1.0
    suggested = others.argmax(axis=1)
    margins = probabilities[np.arange(count), labels] - others.max(axis=1)
    order = np.argsort(margins, kind="stable")[: round(wrong)]
    order = order[margins[order] < 0]
    return Suspects(order, suggested[order], margins[order], wrong / max(1, count))


def _confident_class(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class that each sample counts for (N,); -1 for none."""
    count, classes = probabilities.shape
    own = probabilities[np.arange(count), labels]
    counts = np.bincount(labels, minlength=classes)
    thresholds = np.where(counts, np.bincount(labels, own, classes) / np.maximum(1, counts), np.inf)  # (K,)
    reaches = probabilities >= thresholds
    return np.where(reaches.any(axis=1), np.where(reaches, probabilities, -1.0).argmax(axis=1), -1)


def _calibrated(counted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """The confident joint (K, K), label by class, each row scaled to the number of samples with the label."""
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[counted >= 0], counted[counted >= 0]), 1)
    sums = joint.sum(axis=1, keepdims=True)
    shares = np.divide(joint, sums, out=np.eye(classes), where=sums > 0)
    scaled: NDArray[np.float64] = shares * np.bincount(labels, minlength=classes)[:, None]
    return scaled
