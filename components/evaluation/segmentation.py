"""Scores of segmentation: intersection over union, Dice and accuracy of pixels.

Of a class, with p pixels answered, t true and b both: IoU = b / (p + t - b) (Jaccard 1912), Dice = 2 b / (p + t) (Dice
1945). The means are over the classes that have a pixel in the truth or in the answers. Pixels are counted over all
images together, at the size of the network's images; ignored pixels do not count.

Legend: N images, H height, W width, K classes of the data, R resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.evaluation import batched_prediction
from components.evaluation.additive_metrics import AdditiveScores, share
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.stored import StoredSplit

BATCH = 16
IGNORED = 255
SHOWN = 4  # images of the best, and of the worst, in the picture
MOST_CONFUSED = 40  # classes of which the confusion is drawn

Counts = NDArray[np.int64]


class MaskExample(NamedTuple):
    """An image (H, W, C), its true mask and its answer (H, W), and its mean IoU."""

    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    answer: NDArray[np.uint8]
    iou: float


@dataclass(frozen=True, eq=False)
class SegmentationView:
    """Sums (3 (K + 1)): pixels of each class that are rightly answered, answered, true; class K is any other class.

    Args:
        confusion: pixels (K + 1, K + 1): rows are true classes, columns answered ones.
        of_images: (N, K) pixels of each class in each image.
        examples: the worst images, then the best.
        size: height and width at which pixels are counted.
    """

    classes: list[str]
    confusion: Counts
    of_images: Counts
    examples: list[MaskExample]
    size: tuple[int, int]

    def per_class(self, total: Real) -> list[dict[str, Any]]:
        """Figures of each class; None for a class without a pixel in truth and answers."""
        right, answered, true = np.split(total, 3)
        rows = []
        for number, name in enumerate(self.classes):
            b, p, t = float(right[number]), float(answered[number]), float(true[number])
            figures = {"iou": b / (p + t - b), "dice": 2 * b / (p + t)} if p + t else {"iou": None, "dice": None}
            images = int((self.of_images[:, number] > 0).sum())
            rows.append({"class": name, **figures, "pixels": int(t), "answered": int(p), "images": images})
        return rows

    def slices(self, total: Real) -> list[Slice]:
        """Each class that has pixels, with the number of its images."""
        return [
            Slice(row["class"], row["images"], {"mean_iou": row["iou"], "mean_dice": row["dice"]})
            for row in self.per_class(total)
            if row["pixels"]
        ]

    def document(self, total: Real) -> dict[str, Any]:
        """Figures by class, and the confusion by pixels."""
        count = len(self.classes)
        return {"per_class": self.per_class(total), "confusion": self.confusion[:count, :count].tolist()}

    def draw(self, total: Real, folder: Path) -> None:
        """Confusion by pixels; picture, truth and answer of the worst and best images."""
        from components.evaluation.mask_plots import draw_masks
        from components.evaluation.plots import draw_confusion

        count = min(len(self.classes), MOST_CONFUSED)
        draw_confusion(self.confusion[:count, :count], self.classes[:count], folder / "confusion.png")
        draw_masks(self.examples, self.classes, folder / "masks.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """By class; what was left out of the means, and at which size pixels are counted."""
        rows = self.per_class(total)
        lines = ["| class | IoU | Dice | pixels | images |", "|---|---|---|---|---|"]
        lines += [
            f"| {row['class']} | {_text(row['iou'])} | {_text(row['dice'])} | {row['pixels']:,} | {row['images']:,} |"
            for row in rows
        ]
        limits = [f"- Pixels are counted at {self.size[1]}x{self.size[0]}, the size of the network's images."]
        if absent := [row["class"] for row in rows if row["iou"] is None]:
            limits.append(f"- {', '.join(absent)}: no pixel in the test split, and none answered; not in the means.")
        if invented := [row["class"] for row in rows if not row["pixels"] and row["answered"]]:
            limits.append(f"- {', '.join(invented)}: no pixel in the test split, but answered; 0 in the means.")
        known = [row for row in rows if row["pixels"]]
        weakest = min(known, key=lambda row: row["iou"], default=None)
        if weakest is not None:
            limits.append(f"- Weakest class: {weakest['class']}, IoU {weakest['iou']:.4f}.")
        return CardLines(lines, limits)


class SegmentationScorer(NamedTuple):
    """The scorer: graph `model` gives `probabilities` (B, K, H, W); the array `masks` has the true classes."""

    truth: tuple[str, ...] | None = ()  # masks are in the frame of the images that a package reads

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Classes are matched by name. An image with an answer that is not finite has no right pixel."""
        count = len(frozen.classes)
        numbers = {name: number for number, name in enumerate(frozen.classes)}
        data_numbers = np.array([numbers.get(name, count) for name in predictor.signature.classes])
        confusion = np.zeros((count + 1, count + 1), np.int64)
        summands = np.zeros((len(frozen), 3 * (count + 1)))
        not_finite = 0
        for index, batch, outputs in batched_prediction.outputs(predictor, frozen.split, step, BATCH):
            answers, finite = _answers(outputs["probabilities"], data_numbers, count)
            not_finite += int(np.count_nonzero(~finite))
            for row, answer, truth in zip(index.tolist(), answers, batch["masks"], strict=True):
                own = pixel_confusion(truth, answer, count + 1)
                confusion += own
                summands[row] = np.concatenate([np.diag(own), own.sum(axis=0), own.sum(axis=1)])
        ious = mean_iou(summands)
        order = np.argsort(ious, kind="stable")
        chosen = np.unique([*order[:SHOWN], *order[-SHOWN:]])
        batch = frozen.split.batch(chosen)
        outputs = predictor.outputs("model", {"images": batch["images"]})
        answers, _ = _answers(outputs["probabilities"], data_numbers, count)
        rows = zip(batch["images"], batch["masks"], answers.astype(np.uint8), ious[chosen].tolist(), strict=True)
        examples = sorted((MaskExample(*row) for row in rows), key=lambda one: one.iou)
        of_images = summands[:, 2 * (count + 1) : -1].astype(np.int64)
        size = (batch["masks"].shape[1], batch["masks"].shape[2])
        view = SegmentationView(frozen.classes, confusion, of_images, examples, size)
        return AdditiveScores(summands, METRICS, view, not_finite)


def mean_iou(sums: Real) -> Real:
    """Mean IoU (R,) of sums (R, 3 (K + 1))."""
    right, answered, true = np.split(sums, 3, axis=-1)
    union = answered + true - right
    return share(share(right, union).sum(axis=-1), (union > 0).sum(axis=-1).astype(np.float64))


def mean_dice(sums: Real) -> Real:
    """Mean Dice (R,) of sums (R, 3 (K + 1))."""
    right, answered, true = np.split(sums, 3, axis=-1)
    total = answered + true
    return share(share(2 * right, total).sum(axis=-1), (total > 0).sum(axis=-1).astype(np.float64))


def pixel_accuracy(sums: Real) -> Real:
    """Share of right pixels (R,) of sums (R, 3 (K + 1))."""
    right, _, true = np.split(sums, 3, axis=-1)
    return share(right.sum(axis=-1), true.sum(axis=-1))


METRICS = {"mean_iou": mean_iou, "mean_dice": mean_dice, "pixel_accuracy": pixel_accuracy}


def pixel_confusion(truth: NDArray[np.uint8], answer: NDArray[np.int64], classes: int) -> Counts:
    """Pixels (K, K) of masks (H, W): rows are true classes, columns answered ones; ignored pixels do not count."""
    counted = truth != IGNORED
    places = truth[counted].astype(np.int64) * classes + answer[counted]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def pixels_of_classes(split: StoredSplit, classes: int) -> Counts:
    """Pixels (K,) of each class in a split."""
    masks = split.all("masks")
    counts = np.zeros(256, np.int64)
    for begin in range(0, len(masks), BATCH):
        counts += np.bincount(np.asarray(masks[begin : begin + BATCH]).ravel(), minlength=256)
    return counts[:classes]


def figures_of_one_class(pixels: Counts, number: int) -> dict[str, float]:
    """All metrics of the answer that every pixel is of one class, for pixels (K,) of the true classes."""
    right, answered = np.zeros(len(pixels)), np.zeros(len(pixels))
    right[number], answered[number] = pixels[number], pixels.sum()
    sums = np.concatenate([right, answered, pixels.astype(np.float64)])[None]
    return {name: float(combine(sums)[0]) for name, combine in METRICS.items()}


def _answers(probabilities: NDArray[np.float32], data_numbers: Counts, count: int) -> tuple[Counts, NDArray[np.bool_]]:
    """Class numbers of the data (B, H, W), `count` for any other; and which images have finite answers (B,)."""
    finite = batched_prediction.finite(probabilities)
    answers = data_numbers[np.where(finite[:, None, None, None], probabilities, 0).argmax(axis=1)]
    answers[~finite] = count
    return answers, finite


def _text(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:.4f}"


SCORER = SegmentationScorer()
