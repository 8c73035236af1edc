"""Bounding boxes in images: annotations to arrays, non-maximum suppression, boxes to JSON.

Training, evaluation and serving share this code. A box is centre x, centre y, width and height, in 0..1 of the image.
Legend: M boxes, A boxes before suppression, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.core.errors import SampleError

CORNERS = ("xmin", "ymin", "xmax", "ymax")
ORDINARY, DIFFICULT, CROWD = 0, 1, 2  # flags of true boxes; the last two are neither learnt nor counted as misses
DESCRIBED = ("boxes", "degenerate", "outside", "least_side")
_CANDIDATES = 1000  # boxes of the highest scores that enter suppression
_SLACK = 1.0  # pixels: annotators count the edge from 0 or from 1


class Detections(NamedTuple):
    """Boxes of one image float32 (M, 4), their scores float32 (M,) and class numbers int64 (M,), by falling score."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int64]


def flag(box: Any) -> int:
    """The flag of an annotated box: its key `difficult` or `crowd` is true."""
    return CROWD if box.get("crowd") else DIFFICULT if box.get("difficult") else ORDINARY


def read_flagged(boxes: Any, width: int, height: int) -> tuple[NDArray[np.float32], list[str], list[int]]:
    """As `read`, with the flag of each box; ordinary boxes are first.

    Raises:
        SampleError: the annotation is not a list of boxes.
    """
    _corners(boxes)
    groups = {number: [box for box in boxes if flag(box) == number] for number in (ORDINARY, DIFFICULT, CROWD)}
    found = {number: read(group, width, height) for number, group in groups.items() if group or number == ORDINARY}
    flags = [number for number, (_, labels) in found.items() for _ in labels]
    return (
        np.concatenate([one for one, _ in found.values()]),
        [label for _, own in found.values() for label in own],
        flags,
    )


def read(boxes: Any, width: int, height: int) -> tuple[NDArray[np.float32], list[str]]:
    """Annotated boxes (`label` and `CORNERS` in pixels) to boxes (M, 4) and labels.

    Boxes are clipped to the image; a box without area after clipping is left out.

    Raises:
        SampleError: the annotation is not a list of boxes.
    """
    corners, labels = _corners(boxes)
    low = np.clip(corners / [width, height, width, height], 0, 1)  # (M, 4)
    sides = low[:, 2:] - low[:, :2]
    kept: NDArray[np.bool_] = np.all(sides > 0, axis=1)
    found = np.concatenate([(low[:, :2] + low[:, 2:]) / 2, sides], axis=1)[kept]
    return found.astype(np.float32), [label for label, keep in zip(labels, kept.tolist(), strict=True) if keep]


def describe(boxes: Any, width: int, height: int) -> dict[str, object]:
    """Number of boxes, of boxes without area, of boxes beyond the image by more than a pixel; the smallest side.

    Boxes of crowds do not count. `boxes` is -1 for an annotation that cannot be read.
    """
    try:
        corners, _ = _corners(boxes)
        corners = corners[[flag(box) != CROWD for box in boxes]]
    except SampleError:
        return dict(zip(DESCRIBED, (-1, 0, 0, 0.0), strict=True))
    sides = corners[:, 2:] - corners[:, :2]
    beyond = (corners[:, :2] < -_SLACK).any(axis=1) | (corners[:, 2:] > np.array([width, height]) + _SLACK).any(axis=1)
    return {
        "boxes": len(corners),
        "degenerate": int((sides <= 0).any(axis=1).sum()),
        "outside": int(beyond.sum()),
        "least_side": float(sides.min()) if len(sides) else 0.0,
    }


def non_max_suppression(
    boxes: NDArray[Any], scores: NDArray[Any], *, score_threshold: float, iou_threshold: float, max_detections: int
) -> Detections:
    """Greedy non-maximum suppression of boxes (A, 4) with scores (A, K), class by class.

    Args:
        score_threshold: a box of a lower score is dropped.
        iou_threshold: a box that overlaps a higher-scored box of its class by more than this is dropped.
        max_detections: number of boxes that are kept at most.
    """
    rows, classes = np.nonzero(scores >= score_threshold)
    confidence = scores[rows, classes]
    order = np.argsort(-confidence, kind="stable")[:_CANDIDATES]
    rows, classes, confidence = rows[order], classes[order], confidence[order]
    found, candidates = boxes[rows], np.ones(len(rows), np.bool_)
    kept: list[int] = []
    for row in range(len(rows)):
        if len(kept) == max_detections:
            break
        if candidates[row]:
            kept.append(row)
            overlaps = intersection_over_union(found[row : row + 1], found)[0] > iou_threshold
            candidates &= ~(overlaps & (classes == classes[row]))
    chosen = np.asarray(kept, np.int64)
    return Detections(
        boxes[rows[chosen]].astype(np.float32), confidence[chosen].astype(np.float32), classes[chosen].astype(np.int64)
    )


def intersection_over_union(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4); 0 for two boxes without area."""
    first, second = corners_of(one)[:, None], corners_of(other)[None]
    shared = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    both = np.clip(shared, 0, None).prod(axis=-1)
    areas = [np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1) for boxes in (first, second)]
    whole = areas[0] + areas[1] - both
    found: NDArray[np.float64] = np.divide(both, whole, out=np.zeros_like(whole), where=whole > 0)
    return found


def corners_of(boxes: NDArray[Any]) -> NDArray[np.float64]:
    """Boxes (A, 4) to xmin, ymin, xmax, ymax (A, 4)."""
    wide = boxes.astype(np.float64)
    return np.concatenate([wide[:, :2] - wide[:, 2:] / 2, wide[:, :2] + wide[:, 2:] / 2], axis=1)


def in_pixels(found: Detections, width: int, height: int, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Boxes as JSON: label, score and corners in pixels, clipped to the image."""
    corners = np.clip(corners_of(found.boxes), 0, 1) * [width, height, width, height]
    return [
        {"label": classes[kind], "score": score, **dict(zip(CORNERS, row, strict=True))}
        for kind, score, row in zip(found.classes.tolist(), found.scores.tolist(), corners.tolist(), strict=True)
    ]


def _corners(boxes: Any) -> tuple[NDArray[np.float64], list[str]]:
    """Corners (M, 4) in pixels, and labels."""
    try:
        corners = [[float(box[name]) for name in CORNERS] for box in boxes]
        labels = [str(box["label"]) for box in boxes]
    except (TypeError, KeyError, ValueError) as error:
        expected = f"a list of objects with label, {', '.join(CORNERS)}"
        raise SampleError("the boxes cannot be read", got=repr(error), expected=expected) from error
    found = np.asarray(corners, np.float64).reshape(-1, 4)
    if not np.isfinite(found).all():
        raise SampleError("the corners of a box are not finite", expected="numbers of pixels")
    return found, labels
