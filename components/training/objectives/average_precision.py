"""mAP at an IoU of 0.5 over a validation split, from sums over batches: scores are counted in bins.

As the evaluation's `map_50` but for the bins: detections of one bin have one place in the order of the scores, and an
image has at most `CANDIDATES` boxes before suppression. It chooses an epoch; the evaluation is exact.

Legend: N batch, A boxes before suppression, K classes, M true boxes of an image, D detections, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.preprocessing.boxes import Detections, intersection_over_union, non_max_suppression
from components.training.batches import Batch

BINS = 100  # of the score
CANDIDATES = 100
IOU = 0.5
LEAST_SCORE = 0.01


def sums(boxes: Tensor, scores: Tensor, batch: Batch) -> Tensor:
    """Sums of a batch, float64 (K * (2 B + 1),) on the CPU: of each class the numbers of detections and of correct ones
    in each bin, then of its true boxes.

    Args:
        boxes, scores: (N, A, 4) and (N, A, K) of the detector's `decode`.
        batch: has `boxes` (N, M, 4), `box_classes` (N, M) and `boxes_lengths` (N,).
    """
    best = scores.amax(dim=2).topk(min(CANDIDATES, scores.shape[1]), dim=1).indices[..., None]  # (N, A', 1)
    found_boxes = boxes.gather(1, best.expand(-1, -1, 4)).float().cpu().numpy()
    found_scores = scores.gather(1, best.expand(-1, -1, scores.shape[2])).float().cpu().numpy()
    truth = {name: batch[name].cpu().numpy() for name in ("boxes", "box_classes", "boxes_lengths")}
    counts = np.zeros((scores.shape[2], 2 * BINS + 1))
    for row, count in enumerate(truth["boxes_lengths"].tolist()):
        detections = non_max_suppression(
            found_boxes[row], found_scores[row], score_threshold=LEAST_SCORE, iou_threshold=IOU,
            max_detections=CANDIDATES,
        )  # fmt: skip
        true_boxes, true_classes = truth["boxes"][row, :count], truth["box_classes"][row, :count]
        bins = np.minimum((detections.scores * BINS).astype(np.int64), BINS - 1)  # (D,)
        correct = _correct(detections, true_boxes, true_classes)  # (D,)
        np.add.at(counts, (detections.classes, bins), 1)
        np.add.at(counts, (detections.classes[correct], BINS + bins[correct]), 1)
        counts[:, 2 * BINS] += np.bincount(true_classes, minlength=len(counts))
    return torch.from_numpy(counts.reshape(-1))


def mean_average_precision(totals: Sequence[float]) -> float:
    """The mean over the classes with true boxes of the area below the curve of the best precision at a recall or above;
    0 without any true box."""
    counts = np.asarray(totals).reshape(-1, 2 * BINS + 1)  # (K, 2 B + 1)
    areas = []
    for row in counts[counts[:, -1] > 0]:
        found = np.cumsum(row[:BINS][::-1])  # (B,), from the highest scores on
        correct = np.cumsum(row[BINS : 2 * BINS][::-1])
        precision = np.maximum.accumulate((correct / np.maximum(found, 1))[::-1])[::-1]
        recall = correct / row[-1]
        areas.append(float(np.sum(np.diff(recall, prepend=0.0) * precision)))
    return float(np.mean(areas)) if areas else 0.0


def _correct(detections: Detections, boxes: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.bool_]:
    """(D,): by falling score, a detection takes the free true box of its class with the largest IoU."""
    overlaps = intersection_over_union(detections.boxes, boxes)  # (D, M)
    overlaps[detections.classes[:, None] != classes[None]] = 0
    correct, free = np.zeros(len(detections.scores), np.bool_), np.ones(len(classes), np.bool_)
    for detection in range(len(detections.scores) if len(classes) else 0):
        candidates = np.where(free, overlaps[detection], 0)
        best = int(candidates.argmax())
        if candidates[best] >= IOU:
            correct[detection], free[best] = True, False
    return correct
