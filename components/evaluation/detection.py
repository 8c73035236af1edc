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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NotFiniteError
from components.evaluation import batched_prediction
from components.evaluation.scorer import Arrays, CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.boxes import Detections

if TYPE_CHECKING:
    from components.tasks.task import RunGraph

BATCH = 32
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
METRICS = {"map_50": THRESHOLDS[:1], "map_50_95": THRESHOLDS}
CHUNK = 4_000_000  # weights of detections in one piece, to bound the memory


class DetectionProcessor(Protocol):
    """A processor of object detection."""

    def detections(self, run: RunGraph, images: NDArray[np.uint8]) -> list[Detections]:
        """Detections in images (N, H, W, C) after suppression, down to a low score; class numbers of the package."""


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Detections and the truth of all images.

    Args:
        images: (D,) the image of each detection; detections are sorted by falling score.
        scores, class_numbers: (D,) score, and number of the data's class; K for a class that the data does not have.
        correct: (D, T) whether a detection is correct at each threshold.
        true_counts: (N, K) number of true boxes of each class in each image.
    """

    images: NDArray[np.int64]
    scores: Real
    class_numbers: NDArray[np.int64]
    correct: NDArray[np.bool_]
    true_counts: NDArray[np.int64]
    classes: list[str]
    not_finite: int = 0
    overlap: int = 1
    clusters: NDArray[np.int64] | None = None  # (N,) the group of each image

    @property
    def samples(self) -> int:
        """N."""
        return len(self.true_counts)

    @cached_property
    def average_precision(self) -> Real:
        """(K, T); NaN for a class without true boxes."""
        ones = np.ones((1, self.samples))
        return np.stack(
            [self._average_precision(class_number, len(THRESHOLDS), ones)[:, 0] for class_number in self._class_range]
        )

    @property
    def _class_range(self) -> range:
        return range(len(self.classes))

    def figures(self) -> dict[str, float]:
        """Means over the classes that have true boxes."""
        return {name: float(self.resampled(name, np.ones((1, self.samples)))[0]) for name in METRICS}

    def slices(self) -> list[Slice]:
        """Each class that has true boxes."""
        rows = zip(self.classes, self.true_counts.sum(axis=0), self.average_precision, strict=True)
        return [
            Slice(name, int(count), {"map_50": float(row[0]), "map_50_95": float(row.mean())})
            for name, count, row in rows
            if count
        ]

    def resampled(self, metric: str, weights: Real) -> Real:
        """A metric (R,) of images with weights (R, N), over the classes that have a true box in the resample."""
        count = len(METRICS[metric])
        pieces = []
        rows = max(1, CHUNK // max(1, len(self.images)))
        for begin in range(0, len(weights), rows):
            piece = weights[begin : begin + rows]
            by_class = np.stack(
                [self._average_precision(class_number, count, piece).mean(axis=0) for class_number in self._class_range]
            )  # (K, rows)
            has_boxes = ~np.isnan(by_class)
            total = np.where(has_boxes, by_class, 0).sum(axis=0)
            pieces.append(total / np.maximum(has_boxes.sum(axis=0), 1))
        return np.concatenate(pieces)

    def _average_precision(self, class_number: int, thresholds: int, weights: Real) -> Real:
        """Average precision (T, R) of one class at the first `thresholds` thresholds; NaN without a true box.

        The best precision is always at a correct detection, so only those are evaluated.
        """
        selected = self.class_numbers == class_number
        detection_weights = weights[:, self.images[selected]]  # (R, D)
        cumulative = np.cumsum(detection_weights, axis=1)
        true_counts = weights @ self.true_counts[:, class_number].astype(np.float64)  # (R,)
        averages = np.full((thresholds, len(weights)), np.nan)
        for threshold in range(thresholds):
            correct_positions = np.flatnonzero(self.correct[selected, threshold])
            correct_weights = detection_weights[:, correct_positions]
            correct, detected = np.cumsum(correct_weights, axis=1), cumulative[:, correct_positions]
            precision = np.divide(correct, detected, out=np.zeros_like(correct), where=detected > 0)
            best_precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
            np.divide(
                (best_precision * correct_weights).sum(axis=1),
                true_counts,
                out=averages[threshold],
                where=true_counts > 0,
            )
        return averages

    def concatenate(self, other: DetectionScores) -> DetectionScores:
        """The images of both, one after the other; detections sorted by falling score."""
        images = np.concatenate([self.images, other.images + self.samples])
        scores = np.concatenate([self.scores, other.scores])
        order = np.argsort(-scores, kind="stable")
        return DetectionScores(
            images[order],
            scores[order],
            np.concatenate([self.class_numbers, other.class_numbers])[order],
            np.concatenate([self.correct, other.correct])[order],
            np.concatenate([self.true_counts, other.true_counts]),
            self.classes,
            self.not_finite + other.not_finite,
        )

    def differs(self, other: DetectionScores) -> NDArray[np.bool_]:
        """Images (N,) whose detections differ."""
        differing = []
        for image in range(self.samples):
            ours, theirs = self.images == image, other.images == image
            pairs = (
                (self.scores, other.scores),
                (self.class_numbers, other.class_numbers),
                (self.correct, other.correct),
            )
            differing.append(not all(np.array_equal(own[ours], others[theirs]) for own, others in pairs))
        return np.array(differing, np.bool_)

    def document(self) -> dict[str, Any]:
        """By class, with the recall of all detections."""
        true_counts = self.true_counts.sum(axis=0)
        rows = []
        for class_number, name in enumerate(self.classes):
            if true_counts[class_number]:
                recall = float(self.correct[self.class_numbers == class_number, 0].sum() / true_counts[class_number])
                row = self.average_precision[class_number]
                figures = {"ap_50": float(row[0]), "ap_50_95": float(row.mean()), "recall_50": recall}
                rows.append({"class": name, **figures, "boxes": int(true_counts[class_number])})
        return {"per_class": rows}

    def draw(self, folder: Path) -> None:
        """Precision over recall, one curve for each class."""
        from components.evaluation.task_plots import draw_precision_recall

        draw_precision_recall(self.curves(), folder / "precision_recall.png")

    def curves(self) -> list[tuple[str, float, Real, Real]]:
        """Of each class with true boxes: its name, average precision at .5, recall (D,) and precision (D,)."""
        curves = []
        for class_number, name in enumerate(self.classes):
            true_counts = int(self.true_counts[:, class_number].sum())
            if true_counts:
                correct = np.cumsum(self.correct[self.class_numbers == class_number, 0])
                precision = correct / np.arange(1, len(correct) + 1)
                curves.append((name, float(self.average_precision[class_number, 0]), correct / true_counts, precision))
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

    truth: tuple[str, ...] | None = ("box_classes",)  # boxes are in the frame of the images that a package reads

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> DetectionScores:
        """Classes are matched by name. An image with a prediction that is not finite counts as without detections."""
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, len(numbers)) for name in predictor.signature.classes])
        detections: list[Detections] = []
        true_boxes: list[Detections] = []
        not_finite = 0
        for index in batched_prediction.batches(frozen.split, ("images",), BATCH):
            batch = frozen.split.batch(index)
            for answer in _detections(predictor, batch["images"]):
                not_finite += answer is None
                empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
                detections.append(empty if answer is None else answer._replace(classes=data_numbers[answer.classes]))
            true_boxes += _true_boxes(batch)
            step(len(index))
        return replace(self.of_images(detections, true_boxes, frozen.classes, not_finite), clusters=frozen.clusters)

    def of_images(
        self,
        detections: Sequence[Detections],
        true_boxes: Sequence[Detections],
        classes: list[str],
        not_finite: int = 0,
    ) -> DetectionScores:
        """The result for detections and true boxes, image by image."""
        matches = [
            _match(image_detections, truth) for image_detections, truth in zip(detections, true_boxes, strict=True)
        ]
        images = np.repeat(
            np.arange(len(detections)), [len(image_detections.scores) for image_detections in detections]
        )
        scores = np.concatenate([image_detections.scores for image_detections in detections]).astype(np.float64)
        order = np.argsort(-scores, kind="stable")
        class_numbers = np.concatenate([image_detections.classes for image_detections in detections])
        true_counts = np.stack([np.bincount(truth.classes, minlength=len(classes)) for truth in true_boxes])
        correct = np.concatenate(matches)
        return DetectionScores(
            images[order], scores[order], class_numbers[order], correct[order], true_counts, classes, not_finite
        )


def pairwise_iou(boxes: NDArray[Any], other_boxes: NDArray[Any]) -> Real:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4), centre x, centre y, width, height."""
    boxes, other_boxes = boxes.astype(np.float64)[:, None], other_boxes.astype(np.float64)[None]
    low = np.maximum(boxes[..., :2] - boxes[..., 2:] / 2, other_boxes[..., :2] - other_boxes[..., 2:] / 2)
    high = np.minimum(boxes[..., :2] + boxes[..., 2:] / 2, other_boxes[..., :2] + other_boxes[..., 2:] / 2)
    intersection = np.prod(np.maximum(high - low, 0), axis=-1)
    union = np.prod(boxes[..., 2:], axis=-1) + np.prod(other_boxes[..., 2:], axis=-1) - intersection
    iou: Real = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return iou


def _match(detections: Detections, truth: Detections) -> NDArray[np.bool_]:
    """(D, T): by falling score, a detection takes the free true box of its class with the largest IoU."""
    correct = np.zeros((len(detections.scores), len(THRESHOLDS)), np.bool_)
    iou = pairwise_iou(detections.boxes, truth.boxes)  # (D, M)
    iou[detections.classes[:, None] != truth.classes[None]] = 0
    if iou.size == 0:
        return correct
    for threshold_index, threshold in enumerate(THRESHOLDS):
        free = np.ones(len(truth.classes), np.bool_)
        for detection in np.argsort(-detections.scores, kind="stable"):
            candidates = np.where(free, iou[detection], 0)
            best = int(candidates.argmax())
            if candidates[best] >= threshold:
                correct[detection, threshold_index], free[best] = True, False
    return correct


def _true_boxes(batch: Arrays) -> list[Detections]:
    return [
        Detections(boxes[:count], np.ones(count, np.float32), class_numbers[:count])
        for boxes, class_numbers, count in zip(
            batch["boxes"], batch["box_classes"], batch["boxes_lengths"], strict=True
        )
    ]


def _detections(predictor: PackagePredictor, images: NDArray[np.uint8]) -> list[Detections | None]:
    """Detections of a batch; a NaN fails the whole batch, which is halved until the image with the NaN is alone."""
    try:
        return [*cast(DetectionProcessor, predictor.processor).detections(predictor.run, images)]
    except NotFiniteError:
        if len(images) == 1:
            return [None]
        half = len(images) // 2
        return _detections(predictor, images[:half]) + _detections(predictor, images[half:])


SCORER = DetectionScorer()
