"""Average precision of one class: the area below precision over recall.

Legend: N images, R resamples, T thresholds of IoU.

Precision at a recall is the best precision at that recall or above. All points: the area below that curve (PASCAL VOC
since 2010, Everingham et al. 2015, IJCV 111:98-136). 101 points: its mean at the recalls 0, 0.01, ..., 1 (COCO, Lin et
al. 2014, arXiv:1405.0312).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from components.evaluation.box_matching import MatchedDetections
from components.evaluation.scorer import Real

Interpolation = Literal["all points", "101 points"]
_RECALLS = np.linspace(0, 1, 101)


def average_precision(
    detections: MatchedDetections,
    class_number: int,
    totals: Real,
    thresholds: int,
    weights: Real,
    interpolation: Interpolation,
) -> Real:
    """Average precision (T, R) of a class at the first T thresholds; NaN without a true box.

    The best precision is always at a correct detection, so only those are evaluated.

    Args:
        totals: (R,) number of true boxes of the class in each resample.
        weights: (R, N) of the images.
    """
    selected = detections.class_numbers == class_number
    correct, ignored = detections.correct[selected], detections.ignored[selected]
    detection_weights = weights[:, detections.images[selected]]  # (R, D)
    cumulative = np.cumsum(detection_weights, axis=1)
    totals = totals[:, None]  # (R, 1)
    averages = np.full((thresholds, len(weights)), np.nan)
    for threshold in range(thresholds):
        if ignored[:, threshold].any():
            counted = np.cumsum(detection_weights * ~ignored[:, threshold], axis=1)
        else:
            counted = cumulative
        positions = np.flatnonzero(correct[:, threshold])
        correct_weights = detection_weights[:, positions]
        hits, detected = np.cumsum(correct_weights, axis=1), counted[:, positions]
        precision = np.divide(hits, detected, out=np.zeros_like(hits), where=detected > 0)
        best_precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        if interpolation == "all points":
            steps, whole = correct_weights, totals
        else:
            steps, whole = _points(hits, totals), np.where(totals > 0, len(_RECALLS), 0)
        area = (best_precision * steps).sum(axis=1, keepdims=True)
        np.divide(area, whole, out=averages[threshold][:, None], where=whole > 0)
    return averages


def _points(hits: Real, totals: Real) -> Real:
    """Of each correct detection (R, D), how many of the 101 recalls are reached with it first."""
    recall = np.divide(hits, totals, out=np.zeros_like(hits), where=totals > 0)
    reached = np.searchsorted(_RECALLS, recall, side="right")
    return np.diff(reached, axis=1, prepend=0).astype(np.float64)
