"""Scores of detectors: average precision, all points interpolated.

Legend: N images, M true boxes, D detections, K classes, T thresholds of IoU, R resamples.

A detection is correct if its intersection over union with a true box of its class and image is at least the threshold,
and no detection of a higher score has taken that box. Precision at a recall is the best precision at that recall or
above; average precision is the area below that curve (Everingham et al. 2015, IJCV 111:98-136, as in PASCAL VOC since
2010). mAP@[.5:.95] is the mean over ten thresholds (Lin et al. 2014, arXiv:1405.0312), here with all points instead of
COCO's 101.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NotFiniteError
from components.evaluation import batched_prediction
from components.evaluation.scorer import AnsweringPackage, Arrays, CardLines, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.boxes import Detections

if TYPE_CHECKING:
    from components.tasks.task import RunGraph

BATCH = 32
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
METRICS = {"map_50": THRESHOLDS[:1], "map_50_95": THRESHOLDS}
AT_ONCE = 4_000_000  # weights of detections in one piece, to bound the memory


class DetectionProcessor(Protocol):
    """A processor of object detection."""

    def detections(self, run: RunGraph, images: NDArray[np.uint8]) -> list[Detections]:
        """Detections in images (N, H, W, C) after suppression, down to a low score; class numbers of the package."""


@dataclass(frozen=True, eq=False)
class Detected:
    """Detections and the truth of all images.

    Args:
        images: (D,) the image of each detection; detections are sorted by falling score.
        right: (D, T) whether a detection is correct at each threshold.
        scores, kinds: (D,) score, and number of the data's class; K for a class that the data does not have.
        true: (N, K) number of true boxes of each class in each image.
    """

    images: NDArray[np.int64]
    scores: Real
    kinds: NDArray[np.int64]
    right: NDArray[np.bool_]
    true: NDArray[np.int64]
    classes: list[str]
    not_finite: int = 0
    overlap: int = 1

    @property
    def samples(self) -> int:
        """N."""
        return len(self.true)

    @cached_property
    def average_precision(self) -> Real:
        """(K, T); NaN for a class without true boxes."""
        ones = np.ones((1, self.samples))
        return np.stack([self._averages(kind, len(THRESHOLDS), ones)[:, 0] for kind in self._kinds])

    @property
    def _kinds(self) -> range:
        return range(len(self.classes))

    def figures(self) -> dict[str, float]:
        """Means over the classes that have true boxes."""
        return {name: float(self.resampled(name, np.ones((1, self.samples)))[0]) for name in METRICS}

    def slices(self) -> list[Slice]:
        """Each class that has true boxes."""
        rows = zip(self.classes, self.true.sum(axis=0), self.average_precision, strict=True)
        return [
            Slice(name, int(count), {"map_50": float(row[0]), "map_50_95": float(row.mean())})
            for name, count, row in rows
            if count
        ]

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) of images with weights (R, N), over the classes that have a true box in the resample."""
        count = len(METRICS[metric])
        pieces = []
        rows = max(1, AT_ONCE // max(1, len(self.images)))
        for begin in range(0, len(weights), rows):
            piece = weights[begin : begin + rows]
            by_class = np.stack([self._averages(kind, count, piece).mean(axis=0) for kind in self._kinds])  # (K, rows)
            known = ~np.isnan(by_class)
            total = np.where(known, by_class, 0).sum(axis=0)
            pieces.append(total / np.maximum(known.sum(axis=0), 1))
        return np.concatenate(pieces)

    def _averages(self, kind: int, thresholds: int, weights: Real) -> Real:
        """Average precision (T, R) of one class at the first `thresholds` thresholds; NaN without a true box.

        The best precision is always at a correct detection, so only those are evaluated.
        """
        chosen = self.kinds == kind
        share = weights[:, self.images[chosen]]  # (R, D)
        found = np.cumsum(share, axis=1)
        true = weights @ self.true[:, kind].astype(np.float64)  # (R,)
        averages = np.full((thresholds, len(weights)), np.nan)
        for threshold in range(thresholds):
            places = np.flatnonzero(self.right[chosen, threshold])
            gained = share[:, places]
            right, of = np.cumsum(gained, axis=1), found[:, places]
            precision = np.divide(right, of, out=np.zeros_like(right), where=of > 0)
            best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            np.divide((best * gained).sum(axis=1), true, out=averages[threshold], where=true > 0)
        return averages

    def beside(self, other: Detected) -> Detected:
        """The images of both, one after the other; detections sorted by falling score."""
        images = np.concatenate([self.images, other.images + self.samples])
        scores = np.concatenate([self.scores, other.scores])
        order = np.argsort(-scores, kind="stable")
        return Detected(
            images[order],
            scores[order],
            np.concatenate([self.kinds, other.kinds])[order],
            np.concatenate([self.right, other.right])[order],
            np.concatenate([self.true, other.true]),
            self.classes,
            self.not_finite + other.not_finite,
        )

    def differs(self, other: Detected) -> NDArray[np.bool_]:
        """Images (N,) whose detections differ."""
        differing = []
        for image in range(self.samples):
            ours, theirs = self.images == image, other.images == image
            pairs = ((self.scores, other.scores), (self.kinds, other.kinds), (self.right, other.right))
            differing.append(not all(np.array_equal(one[ours], another[theirs]) for one, another in pairs))
        return np.array(differing, np.bool_)

    def document(self) -> dict[str, Any]:
        """By class, with the recall of all detections."""
        true = self.true.sum(axis=0)
        rows = []
        for kind, name in enumerate(self.classes):
            if true[kind]:
                recall = float(self.right[self.kinds == kind, 0].sum() / true[kind])
                row = self.average_precision[kind]
                figures = {"ap_50": float(row[0]), "ap_50_95": float(row.mean()), "recall_50": recall}
                rows.append({"class": name, **figures, "boxes": int(true[kind])})
        return {"per_class": rows}

    def draw(self, folder: Path) -> None:
        """Precision over recall, one curve for each class."""
        from components.evaluation.task_plots import draw_precision_recall

        draw_precision_recall(self.curves(), folder / "precision_recall.png")

    def curves(self) -> list[tuple[str, float, Real, Real]]:
        """Of each class with true boxes: its name, average precision at .5, recall (D,) and precision (D,)."""
        curves = []
        for kind, name in enumerate(self.classes):
            true = int(self.true[:, kind].sum())
            if true:
                right = np.cumsum(self.right[self.kinds == kind, 0])
                precision = right / np.arange(1, len(right) + 1)
                curves.append((name, float(self.average_precision[kind, 0]), right / true, precision))
        return curves

    def card_lines(self) -> CardLines:
        """By class."""
        rows = self.document()["per_class"]
        lines = ["| class | AP@.5 | AP@[.5:.95] | recall | boxes |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['class']} | {row['ap_50']:.4f} | {row['ap_50_95']:.4f} | {row['recall_50']:.4f} | "
            f"{row['boxes']:,} |"
            for row in rows
        ]
        weakest = min(rows, key=lambda row: row["ap_50"], default=None)
        limits = [f"- Weakest class: {weakest['class']}, AP@.5 {weakest['ap_50']:.4f}."] if weakest else []
        return CardLines(lines, limits)


class DetectionScorer(NamedTuple):
    """The scorer: detections of the processor against `boxes` (N, M, 4) and `box_classes` (N, M)."""

    truth: tuple[str, ...] | None = ("boxes", "box_classes")

    def score(self, asked: AnsweringPackage, frozen: FrozenSplit, step: ReportSamples) -> Detected:
        """Classes are matched by name. An image with a prediction that is not finite counts as without detections."""
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, len(numbers)) for name in asked.signature.classes])
        found: list[Detections] = []
        truths: list[Detections] = []
        not_finite = 0
        for index in batched_prediction.batches(frozen.split, ("images",), BATCH):
            batch = frozen.split.batch(index)
            for answer in _detections(asked, batch["images"]):
                not_finite += answer is None
                empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
                found.append(empty if answer is None else answer._replace(classes=data_numbers[answer.classes]))
            truths += _truths(batch)
            step(len(index))
        return self.of_images(found, truths, frozen.classes, not_finite)

    def of_images(
        self, found: Sequence[Detections], truths: Sequence[Detections], classes: list[str], not_finite: int = 0
    ) -> Detected:
        """The result for detections and true boxes, image by image."""
        rights = [_right(one, truth) for one, truth in zip(found, truths, strict=True)]
        images = np.repeat(np.arange(len(found)), [len(one.scores) for one in found])
        scores = np.concatenate([one.scores for one in found]).astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        kinds = np.concatenate([one.classes for one in found])
        true = np.stack([np.bincount(truth.classes, minlength=len(classes)) for truth in truths])
        right = np.concatenate(rights)
        return Detected(images[order], scores[order], kinds[order], right[order], true, classes, not_finite)


def overlap(one: NDArray[Any], other: NDArray[Any]) -> Real:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4), centre x, centre y, width, height."""
    one, other = one.astype(np.float64)[:, None], other.astype(np.float64)[None]
    low = np.maximum(one[..., :2] - one[..., 2:] / 2, other[..., :2] - other[..., 2:] / 2)
    high = np.minimum(one[..., :2] + one[..., 2:] / 2, other[..., :2] + other[..., 2:] / 2)
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(one[..., 2:], axis=-1) + np.prod(other[..., 2:], axis=-1) - shared
    found: Real = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def _right(found: Detections, truth: Detections) -> NDArray[np.bool_]:
    """(D, T): by falling score, a detection takes the free true box of its class with the largest IoU."""
    right = np.zeros((len(found.scores), len(THRESHOLDS)), np.bool_)
    shared = overlap(found.boxes, truth.boxes)  # (D, M)
    shared[found.classes[:, None] != truth.classes[None]] = 0
    if shared.size == 0:
        return right
    for place, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(truth.classes), np.bool_)
        for detection in np.argsort(-found.scores, kind="stable"):
            candidates = np.where(free, shared[detection], 0)
            best = int(candidates.argmax())
            if candidates[best] >= threshold:
                right[detection, place], free[best] = True, False
    return right


def _truths(batch: Arrays) -> list[Detections]:
    return [
        Detections(boxes[:count], np.ones(count, np.float32), kinds[:count])
        for boxes, kinds, count in zip(batch["boxes"], batch["box_classes"], batch["boxes_lengths"], strict=True)
    ]


def _detections(asked: AnsweringPackage, images: NDArray[np.uint8]) -> list[Detections | None]:
    """Detections of a batch; a NaN fails its whole batch, which is then halved until the image is found."""
    try:
        return [*cast(DetectionProcessor, asked.processor).detections(asked.run, images)]
    except NotFiniteError:
        if len(images) == 1:
            return [None]
        half = len(images) // 2
        return _detections(asked, images[:half]) + _detections(asked, images[half:])


SCORER = DetectionScorer()
