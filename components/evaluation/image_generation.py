"""Scores of diffusion: error of the predicted noise in real images, and whether generated images show their class.

Legend: N images of the test split (at most `MAX_IMAGES`), H height, W width, C channels, K classes.

For each of the N images, the noise of four fixed steps is predicted (mean squared error), and one image of its class is
generated, with its index as seed. A pixel classifier (logistic regression, fitted on the real train split) predicts the
class of the generated image. Its accuracy on the real test split is an upper bound for the label accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from components.core.errors import NotFiniteError
from components.evaluation.additive_metrics import AdditiveScores
from components.evaluation.scorer import CardLines, PackagePredictor, Real, ReportSamples, Slice
from components.evaluation.test_split import FrozenSplit
from components.preprocessing.noise_schedule import alphas_cumprod

if TYPE_CHECKING:
    from components.tasks.task import RunGraph

MAX_IMAGES = 200  # images that are scored: each needs one run of the graph for every sampling step
BATCH = 50
NOISES = (0.1, 0.35, 0.6, 0.85)  # positions in the noise schedule
MAX_CLASSIFIER_IMAGES = 20_000  # largest number of images to fit and to test the pixel classifier
GALLERY_COLUMNS = 8  # images of each class in the picture

Images = NDArray[np.uint8]  # (N, H, W, C)


class GenerationProcessor(Protocol):
    """A processor of image generation."""

    noise_schedule: Any
    noise_steps: int

    def generate(self, run: RunGraph, labels: NDArray[np.int64], seeds: NDArray[np.int64]) -> Images:
        """One image of each label (N,), the same for the same seed (N,), with the service's default settings."""


class PixelClassifier:
    """A classifier of images: logistic regression on pixels.

    Pixels are not standardised: a pixel that is nearly always black would get a large weight for invisible specks.
    """

    def __init__(self, images: Images, labels: NDArray[np.int64]) -> None:
        from sklearn.linear_model import LogisticRegression

        self._model = LogisticRegression(C=0.3, max_iter=1000)
        self._model.fit(_pixels(images), labels)

    def label(self, images: Images) -> NDArray[np.int64]:
        """Class numbers (N,)."""
        return np.asarray(self._model.predict(_pixels(images)), np.int64)


@dataclass(frozen=True, eq=False)
class GenerationView:
    """Sums: images classified as their class (K), images of each class (K), squared error at each noise (4)."""

    classes: list[str]
    classifier_accuracy: float
    images: Images
    labels: NDArray[np.int64]

    def label_accuracy(self, total: Real) -> Real:
        """Share of generated images that the pixel classifier assigns to their class (R,)."""
        count = len(self.classes)
        return np.asarray(total[..., :count].sum(axis=-1) / total[..., count : 2 * count].sum(axis=-1))

    def noise_mse(self, total: Real) -> Real:
        """Mean squared error of the noise, of unit variance (R,)."""
        count = len(self.classes)
        return np.asarray(total[..., 2 * count :].mean(axis=-1) / total[..., count : 2 * count].sum(axis=-1))

    def slices(self, total: Real) -> list[Slice]:
        """Each class with generated images."""
        return [
            Slice(row["class"], row["images"], {"label_accuracy": row["label_accuracy"]})
            for row in self.document(total)["per_class"]
        ]

    def document(self, total: Real) -> dict[str, Any]:
        """Figures by class and by noise; accuracy of the pixel classifier."""
        count = len(self.classes)
        images = total[count : 2 * count]
        rows = [
            {"class": name, "label_accuracy": float(total[index] / images[index]), "images": int(images[index])}
            for index, name in enumerate(self.classes)
            if images[index]
        ]
        noises = zip(NOISES, total[2 * count :] / images.sum(), strict=True)
        return {
            "per_class": rows,
            "per_noise": [{"share_of_steps": share, "noise_mse": float(error)} for share, error in noises],
            "judge": {"kind": "logistic regression on pixels", "accuracy_on_real_images": self.classifier_accuracy},
        }

    def draw(self, total: Real, folder: Path) -> None:
        """Generated images, one row for each class."""
        from components.evaluation.task_plots import draw_gallery

        rows = [(name, self.images[self.labels == index][:GALLERY_COLUMNS]) for index, name in enumerate(self.classes)]
        draw_gallery([row for row in rows if len(row[1])], folder / "samples.png")

    def card_lines(self, total: Real, samples: int) -> CardLines:
        """By class."""
        lines = ["| class | judged as its class | images |", "|---|---|---|"]
        lines += [
            f"| {row['class']} | {row['label_accuracy']:.4f} | {row['images']:,} |"
            for row in self.document(total)["per_class"]
        ]
        limits = [
            f"- The judge (logistic regression on pixels) is right for {self.classifier_accuracy:.1%} of real test "
            "images.",
            "- The figure does not measure how much images differ from each other or from real images.",
        ]
        return CardLines(lines, limits)


class ImageGenerationScorer(NamedTuple):
    """The scorer: graph `model` (noisy, step, label -> noise), and the processor's own sampling."""

    truth: tuple[str, ...] | None = None
    max_samples: int = MAX_IMAGES

    def score(self, predictor: PackagePredictor, frozen: FrozenSplit, step: ReportSamples) -> AdditiveScores:
        """Classes are matched by name. A batch that is not finite counts as wrong, with a predicted noise of 0."""
        numbers = {name: number for number, name in enumerate(predictor.signature.classes)}
        selected = np.unique(
            np.linspace(0, len(frozen) - 1, min(self.max_samples, len(frozen))).round().astype(np.int64)
        )
        count = len(frozen.classes)
        summands = np.zeros((len(selected), 2 * count + len(NOISES)))
        generated = np.zeros_like(frozen.split.batch(selected)["images"])
        truth = frozen.split.batch(selected)["labels"]
        classifier, classifier_accuracy = _fit_classifier(frozen)
        not_finite = 0
        for begin in range(0, len(selected), BATCH):
            rows = np.arange(begin, min(begin + BATCH, len(selected)))
            images, labels = frozen.split.batch(selected[rows])["images"], truth[rows]
            package_labels = np.array([numbers[frozen.classes[label]] for label in labels])
            try:
                generated[rows] = cast(GenerationProcessor, predictor.processor).generate(
                    predictor.run, package_labels, selected[rows]
                )
                correct = classifier.label(generated[rows]) == labels
            except NotFiniteError:
                correct = np.zeros(len(rows), np.bool_)
                not_finite += len(rows)
            summands[rows, labels] = correct
            summands[rows, count + labels] = 1
            summands[rows, 2 * count :] = self.noise_errors(predictor, images, package_labels, selected[rows])
            step(len(rows))
        view = GenerationView(frozen.classes, classifier_accuracy, generated, truth)
        metrics = {"label_accuracy": view.label_accuracy, "noise_mse": view.noise_mse}
        return AdditiveScores(summands, metrics, view, not_finite)

    def noise_errors(
        self, predictor: PackagePredictor, images: Images, labels: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> Real:
        """Mean squared error (N, 4) at each of `NOISES`; the noise of an image depends on its seed alone."""
        processor = cast(GenerationProcessor, predictor.processor)
        alphas = alphas_cumprod(processor.noise_schedule, processor.noise_steps)  # (S,)
        clean = images.transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1  # (N, C, H, W), -1..1
        shape = images.shape[3], *images.shape[1:3]
        noise = np.stack([np.random.default_rng(seed).standard_normal(shape, np.float32) for seed in seeds.tolist()])
        errors = []
        for share in NOISES:
            step = int(share * processor.noise_steps)
            noisy = (np.sqrt(alphas[step]) * clean + np.sqrt(1 - alphas[step]) * noise).astype(np.float32)
            steps = np.full(len(images), step, np.int64)
            predicted = predictor.outputs("model", {"noisy": noisy, "step": steps, "label": labels})["noise"]
            predicted = np.where(np.isfinite(predicted), predicted, 0)
            errors.append(((predicted - noise).astype(np.float64) ** 2).reshape(len(images), -1).mean(axis=1))
        return np.stack(errors, axis=1)


def _fit_classifier(frozen: FrozenSplit) -> tuple[PixelClassifier, float]:
    """A pixel classifier fitted on the real train split, and its accuracy on the real test split."""
    train = frozen.other("train")
    selected = np.unique(
        np.linspace(0, len(train) - 1, min(MAX_CLASSIFIER_IMAGES, len(train))).round().astype(np.int64)
    )
    classifier = PixelClassifier(train.batch(selected)["images"], train.batch(selected)["labels"])
    test = frozen.split.batch(np.arange(min(MAX_CLASSIFIER_IMAGES, len(frozen))))
    return classifier, float((classifier.label(test["images"]) == test["labels"]).mean())


def _pixels(images: Images) -> Real:
    return images.reshape(len(images), -1) / 255


SCORER = ImageGenerationScorer()
