"""Scores of detectors: mean average precision, as PASCAL VOC and as COCO define it.

Legend: N images, M true boxes, D detections, K classes, T thresholds of IoU, R resamples.

| metric | interpolation | detections |
|---|---|---|
| `map_50`, `map_50_95` | all points, as VOC since 2010 | scores of 0.01 and above, 200 an image |
| `coco_map_50`, `coco_map_50_95` | 101 points, as COCO | no score floor, 100 an image |

`_50`: at an IoU of 0.5. `_50_95`: the mean over the IoUs 0.5, 0.55, ..., 0.95.

Difficult boxes and crowds are no true boxes: what meets one is neither correct nor wrong (box_matching.py).
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
from components.evaluation import batched_prediction, box_matching
from components.evaluation.average_precision import Interpolation, average_precision
from components.evaluation.box_matching import THRESHOLDS, MatchedDetections
from components.evaluation.scorer import Arrays, CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.boxes import ORDINARY, Detections

if TYPE_CHECKING:
    from components.tasks.task import RunGraph

BATCH = 32
METRICS = {  # the rule, and the number of thresholds
    "map_50": ("voc", 1), "map_50_95": ("voc", len(THRESHOLDS)),
    "coco_map_50": ("coco", 1), "coco_map_50_95": ("coco", len(THRESHOLDS)),
}  # fmt: skip
INTERPOLATIONS: dict[str, Interpolation] = {"voc": "all points", "coco": "101 points"}
CHUNK = 4_000_000  # weights of detections in one piece, to bound the memory


class DetectionProcessor(Protocol):
    """A processor of object detection."""

    def detections(self, run: RunGraph, images: NDArray[np.uint8]) -> list[Detections]:
        """The 200 detections of the highest scores in each image (N, H, W, C), after suppression; class numbers of the
        package."""


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Detections and the truth of all images.

    Args:
        voc, coco: the detections, matched by the rule of VOC and by that of COCO.
        true_counts: (N, K) number of true boxes of each class in each image, without difficult ones and crowds.
    """

    voc: MatchedDetections
    coco: MatchedDetections
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
        """(K, T), all points; NaN for a class without true boxes."""
        return self._by_class("voc", len(THRESHOLDS), np.ones((1, self.samples)))[..., 0]

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
        rule, count = METRICS[metric]
        pieces = []
        rows = max(1, CHUNK // max(1, len(self._matched(rule).images)))
        for begin in range(0, len(weights), rows):
            piece = weights[begin : begin + rows]
            by_class = self._by_class(rule, count, piece).mean(axis=1)  # (K, rows)
            has_boxes = ~np.isnan(by_class)
            total = np.where(has_boxes, by_class, 0).sum(axis=0)
            pieces.append(total / np.maximum(has_boxes.sum(axis=0), 1))
        return np.concatenate(pieces)

    def _matched(self, rule: str) -> MatchedDetections:
        return self.voc if rule == "voc" else self.coco

    def _by_class(self, rule: str, thresholds: int, weights: Real) -> Real:
        """Average precision (K, T, R)."""
        return np.stack(
            [
                average_precision(
                    self._matched(rule),
                    number,
                    weights @ self.true_counts[:, number],
                    thresholds,
                    weights,
                    INTERPOLATIONS[rule],
                )
                for number in range(len(self.classes))
            ]
        )

    def concatenate(self, other: DetectionScores) -> DetectionScores:
        """The images of both, one after the other; detections sorted by falling score."""
        return DetectionScores(
            self.voc.concatenate(other.voc, self.samples),
            self.coco.concatenate(other.coco, self.samples),
            np.concatenate([self.true_counts, other.true_counts]),
            self.classes,
            self.not_finite + other.not_finite,
        )

    def differs(self, other: DetectionScores) -> NDArray[np.bool_]:
        """Images (N,) whose detections differ."""
        differing = []
        for image in range(self.samples):
            own = (*self.voc.of_image(image), *self.coco.of_image(image))
            others = (*other.voc.of_image(image), *other.coco.of_image(image))
            differing.append(not all(map(np.array_equal, own, others)))
        return np.array(differing, np.bool_)

    def document(self) -> dict[str, Any]:
        """By class, with the recall of all detections."""
        true_counts = self.true_counts.sum(axis=0)
        rows = []
        for class_number, name in enumerate(self.classes):
            if true_counts[class_number]:
                recall = float(
                    self.voc.correct[self.voc.class_numbers == class_number, 0].sum() / true_counts[class_number]
                )
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
                selected = (self.voc.class_numbers == class_number) & ~self.voc.ignored[:, 0]
                correct = np.cumsum(self.voc.correct[selected, 0])
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

    truth: tuple[str, ...] | None = (
        "box_classes",
        "box_flags",
    )  # boxes are in the frame of the images that a package reads

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> DetectionScores:
        """Classes are matched by name. An image with a prediction that is not finite counts as without detections."""
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, len(numbers)) for name in predictor.signature.classes])
        detections: list[Detections] = []
        true_boxes: list[Detections] = []
        flags: list[NDArray[np.uint8]] = []
        not_finite = 0
        for index in batched_prediction.batches(frozen.split, ("images",), BATCH):
            batch = frozen.split.batch(index)
            for answer in _detections(predictor, batch["images"]):
                not_finite += answer is None
                empty = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
                detections.append(empty if answer is None else answer._replace(classes=data_numbers[answer.classes]))
            true_boxes += _true_boxes(batch)
            flags += _flags(batch)
            step(len(index))
        scores = self.of_images(detections, true_boxes, frozen.classes, not_finite, flags)
        return replace(scores, clusters=frozen.clusters)

    def of_images(
        self,
        detections: Sequence[Detections],
        true_boxes: Sequence[Detections],
        classes: list[str],
        not_finite: int = 0,
        flags: Sequence[NDArray[np.uint8]] | None = None,
    ) -> DetectionScores:
        """The result for detections and true boxes, image by image.

        Args:
            flags: (M,) of each image, as in `components.preprocessing.boxes`; default: all true boxes are ordinary.
        """
        if flags is None:
            flags = [np.zeros(len(truth.classes), np.uint8) for truth in true_boxes]
        own = list(detections), list(true_boxes), list(flags)
        counted = [truth.classes[flag == ORDINARY] for truth, flag in zip(true_boxes, flags, strict=True)]
        true_counts = np.stack([np.bincount(numbers, minlength=len(classes)) for numbers in counted])
        voc, coco = (box_matching.matched(rule, *own) for rule in (box_matching.voc, box_matching.coco))
        return DetectionScores(voc, coco, true_counts, classes, not_finite)


def _true_boxes(batch: Arrays) -> list[Detections]:
    return [
        Detections(boxes[:count], np.ones(count, np.float32), class_numbers[:count])
        for boxes, class_numbers, count in zip(
            batch["boxes"], batch["box_classes"], batch["boxes_lengths"], strict=True
        )
    ]


def _flags(batch: Arrays) -> list[NDArray[np.uint8]]:
    """The flags of the true boxes; data that was prepared without them has none."""
    flags = batch.get("box_flags", np.zeros(batch["box_classes"].shape, np.uint8))
    return [row[:count] for row, count in zip(flags, batch["boxes_lengths"], strict=True)]


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
