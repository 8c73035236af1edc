"""Multi-label classification of images: an image file -> any number of K labels.

Legend: N samples, H height, W width, C channels, K labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.core.strict import Strict
from components.tasks import image_classification, items, multi_label
from components.tasks.image_classification import ImageClassification, ImageClassificationProcessor
from components.tasks.image_settings import RAW_COLUMNS, ImageClassificationSettings
from components.tasks.multi_label import LabelsProcessor, ManyLabels, ThresholdSettings
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph


class MultiLabelImageSettings(ImageClassificationSettings, ThresholdSettings):
    """How image files become arrays, and scores become labels."""


class MultiLabelImageProcessor(LabelsProcessor, ImageClassificationProcessor):
    """Decoding and resizing, with the statistics of the train split, the labels and their thresholds."""

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C), `labels` bool (K,)."""
        shape = (self.height, self.width, self.channels)
        return ArraySpec(name="images", type="uint8", shape=shape), self.label_array()

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images and their labels."""
        labels = items.each(lambda raw: self.multi_hot(raw.values["labels"]), samples)
        return [{"images": raw.decoded["images"], "labels": row} for raw, row in zip(samples, labels, strict=True)]

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The labels, and the score of each label."""
        from components.preprocessing.batch import stacked

        images = stacked([sample["images"] for sample in samples])  # (N, H, W, C)
        return self.predictions(run("model", {"images": images})["probabilities"])

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Image files, base64 texts or pixels to labels."""
        prediction = multi_label.schema(classes)
        return super().endpoint(classes)._replace(prediction=prediction, summary="Label images")


class MultiLabelImageClassification(ManyLabels, ImageClassification):
    """The half without state."""

    name: ClassVar[str] = "multi-label-image-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "labels": "json"}
    settings: ClassVar[type[Strict]] = MultiLabelImageSettings
    raw_columns: ClassVar[tuple[str, ...]] = (*RAW_COLUMNS, "labels")
    prepared_columns: ClassVar[tuple[str, ...]] = ("labels", "minimum", "maximum", "mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"labels"})

    def describe(self, values: Values, settings: ImageClassificationSettings | None = None) -> dict[str, object]:
        """Facts about the file, and the number of labels."""
        return {**super().describe(values, settings), **multi_label.describe(values)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of labels; minimum, maximum and mean level."""
        facts = super().describe_prepared(batch)
        del facts["class_number"]
        return {"labels": batch["labels"].sum(axis=1), **facts}

    def fit(  # type: ignore[override]  # the processor is of another class
        self, settings: MultiLabelImageSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> MultiLabelImageProcessor:
        """Mean and standard deviation of each channel."""
        images = ImageClassificationSettings(**settings.model_dump(exclude={"thresholds"}))
        fitted = ImageClassification.fit(self, images, train, classes)
        return MultiLabelImageProcessor(
            **settings.model_dump(), mean=fitted.mean, std=fitted.std, classes=fitted.classes
        )

    def example(self, values: Values) -> Example:
        """The file."""
        return image_classification.TASK.example({"image": values["image"], "label": multi_label.truth(values)})

    def load(self, folder: Path) -> MultiLabelImageProcessor:
        """Read processor.json."""
        return MultiLabelImageProcessor.load(folder)


TASK = MultiLabelImageClassification()
