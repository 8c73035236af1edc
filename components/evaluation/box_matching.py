"""Which detections of an image are correct, by the rules of PASCAL VOC and of COCO.

Legend: D detections, M true boxes, T thresholds of IoU.

A detection is correct if its overlap with a true box of its class is at least the threshold, and no detection of a
higher score has taken that box. The overlap with a crowd is the share of the detection that is inside the crowd.
A detection that meets a difficult box or a crowd is ignored: it is neither correct nor wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation.scorer import Real
from components.preprocessing.boxes import CROWD, DIFFICULT, ORDINARY, Detections

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
SCORE_FLOOR = 0.01  # of VOC's figures
COCO_DETECTIONS = 100  # of an image, over all classes


class Matches(NamedTuple):
    """Whether detections are correct, or ignored, at each threshold: (D, T) each."""

    correct: NDArray[np.bool_]
    ignored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class MatchedDetections:
    """The detections of all images after matching by one rule, sorted by falling score.

    Args:
        images: (D,) the image of each detection.
        scores, class_numbers: (D,) score, and number of the data's class; K for a class that the data does not have.
        correct, ignored: (D, T) whether a detection is correct, or ignored, at each threshold.
    """

    images: NDArray[np.int64]
    scores: Real
    class_numbers: NDArray[np.int64]
    correct: NDArray[np.bool_]
    ignored: NDArray[np.bool_]

    def concatenate(self, other: MatchedDetections, samples: int) -> MatchedDetections:
        """These detections and those of other images, whose numbers begin after `samples`."""
        return _sorted(
            np.concatenate([self.images, other.images + samples]),
            *(np.concatenate([getattr(one, name) for one in (self, other)])
              for name in ("scores", "class_numbers", "correct", "ignored")),
        )  # fmt: skip

    def of_image(self, image: int) -> tuple[NDArray[Any], ...]:
        """Scores, class numbers and matches of the detections of an image."""
        rows = self.images == image
        return self.scores[rows], self.class_numbers[rows], self.correct[rows], self.ignored[rows]


Rule = Callable[[Detections, Detections, NDArray[np.uint8]], tuple[Detections, Matches]]


def matched(
    rule: Rule, detections: list[Detections], true_boxes: list[Detections], flags: list[NDArray[np.uint8]]
) -> MatchedDetections:
    """Detections of all images, matched by a rule.

    Args:
        flags: (M,) of each image: `ORDINARY`, `DIFFICULT` or `CROWD`.
    """
    kept, matches = zip(*map(rule, detections, true_boxes, flags), strict=True)
    return _sorted(
        np.repeat(np.arange(len(kept)), [len(one.scores) for one in kept]),
        np.concatenate([one.scores for one in kept]).astype(np.float64),
        np.concatenate([one.classes for one in kept]),
        np.concatenate([one.correct for one in matches]),
        np.concatenate([one.ignored for one in matches]),
    )


def voc(detections: Detections, truth: Detections, flags: NDArray[np.uint8]) -> tuple[Detections, Matches]:
    """By falling score, a detection takes the free true box of its class with the largest IoU (Everingham 2015).

    A difficult box is always free, as in VOC's development kit. There, a second detection of a box is wrong; here it
    may take another true box. A crowd, which VOC does not have, is looked at last. Detections below a score of 0.01 are
    dropped.
    """
    detections = _first(detections, np.flatnonzero(detections.scores >= SCORE_FLOOR))
    matches, overlap = _none(len(detections.scores)), _overlaps(detections, truth, flags)
    if overlap.size == 0:
        return detections, matches
    is_crowd = flags == CROWD
    for place, threshold in enumerate(THRESHOLDS):
        free = ~is_crowd
        for detection in _near(detections, overlap, threshold):
            candidates = np.where(free, overlap[detection], 0)
            best = int(candidates.argmax())
            if candidates[best] < threshold:
                matches.ignored[detection, place] = (overlap[detection] >= threshold)[is_crowd].any()
            elif flags[best] == DIFFICULT:
                matches.ignored[detection, place] = True
            else:
                matches.correct[detection, place], free[best] = True, False
    return detections, matches


def coco(detections: Detections, truth: Detections, flags: NDArray[np.uint8]) -> tuple[Detections, Matches]:
    """As `evaluateImg` of pycocotools (Lin et al. 2014): an ordinary box is taken first, of the largest overlap; then a
    box that is ignored. A crowd is met by any number of detections, a difficult box by one.

    The 100 detections of the highest scores of an image count, over all classes.
    """
    detections = _first(detections, np.sort(_by_score(detections)[:COCO_DETECTIONS]))
    matches, overlap = _none(len(detections.scores)), _overlaps(detections, truth, flags)
    if overlap.size == 0:
        return detections, matches
    for place, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(flags), np.bool_)
        for detection in _near(detections, overlap, threshold):
            for kind, found in ((flags == ORDINARY, matches.correct), (flags != ORDINARY, matches.ignored)):
                candidates = np.where(free & kind, overlap[detection], 0)
                best = len(candidates) - 1 - int(candidates[::-1].argmax())  # of equal overlaps the last
                if candidates[best] >= threshold:
                    found[detection, place], free[best] = True, flags[best] == CROWD
                    break
    return detections, matches


def _overlaps(detections: Detections, truth: Detections, flags: NDArray[np.uint8]) -> Real:
    """(D, M): IoU; with crowds the intersection over the area of the detection; 0 for boxes of another class."""
    intersection, areas, other_areas = _intersections(detections.boxes, truth.boxes)
    whole = np.where(flags == CROWD, areas, areas + other_areas - intersection)
    return np.where(detections.classes[:, None] == truth.classes[None], _ratio(intersection, whole), 0)


def _intersections(boxes: NDArray[Any], other_boxes: NDArray[Any]) -> tuple[Real, Real, Real]:
    """Areas of intersections (A, B), of boxes (A, 1) and of other boxes (1, B)."""
    boxes, other_boxes = boxes.astype(np.float64)[:, None], other_boxes.astype(np.float64)[None]
    low = np.maximum(boxes[..., :2] - boxes[..., 2:] / 2, other_boxes[..., :2] - other_boxes[..., 2:] / 2)
    high = np.minimum(boxes[..., :2] + boxes[..., 2:] / 2, other_boxes[..., :2] + other_boxes[..., 2:] / 2)
    areas, other_areas = np.prod(boxes[..., 2:], axis=-1), np.prod(other_boxes[..., 2:], axis=-1)
    return np.prod(np.maximum(high - low, 0), axis=-1), areas, other_areas


def _ratio(part: Real, whole: Real) -> Real:
    ratio: Real = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio


def _none(count: int) -> Matches:
    shape = (count, len(THRESHOLDS))
    return Matches(np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))


def _by_score(detections: Detections) -> NDArray[np.int64]:
    return np.argsort(-detections.scores, kind="stable")


def _near(detections: Detections, overlap: Real, threshold: float) -> NDArray[np.int64]:
    """Detections that overlap a true box of their class by the threshold, by falling score."""
    order = _by_score(detections)
    near: NDArray[np.int64] = order[overlap[order].max(axis=1) >= threshold]
    return near


def _first(detections: Detections, rows: NDArray[np.int64]) -> Detections:
    return Detections(detections.boxes[rows], detections.scores[rows], detections.classes[rows])


def _sorted(
    images: NDArray[np.int64], scores: Real, class_numbers: NDArray[np.int64],
    correct: NDArray[np.bool_], ignored: NDArray[np.bool_],
) -> MatchedDetections:  # fmt: skip
    order = np.argsort(-scores, kind="stable")
    return MatchedDetections(images[order], scores[order], class_numbers[order], correct[order], ignored[order])
