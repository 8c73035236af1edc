"""Regression on images: an image file -> one number. Files, decoding and requests are those of image classification.

Legend: N samples, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.tasks import regression
from components.tasks.image_classification import ImageClassification, ImageClassificationProcessor
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.regression import OneNumber, Target
from components.tasks.task import EndpointSchema, Example, FieldKind, RawSample, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays


class ImageRegressionProcessor(  # type: ignore[misc]  # it gives a number where its base gives classes
    regression.NumberProcessor, ImageClassificationProcessor
):
    """Decoding and resizing, with the statistics of the train split and of the target."""

    classes: list[str] = Field(default=[])

    def input_arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C)."""
        return (ArraySpec(name="images", type="uint8", shape=self.size()),)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images and scaled targets."""
        return self.with_targets([{"images": raw.decoded["images"]} for raw in samples], samples)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Image files, base64 texts or pixels to numbers."""
        wire = super().endpoint(classes)
        return wire._replace(prediction=regression.schema(), summary="Estimate a number from images")


class ImageRegression(OneNumber, ImageClassification):
    """The half without state."""

    name: ClassVar[str] = "image-regression"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "target": "numbers"}
    raw_columns: ClassVar[tuple[str, ...]] = ("target", *ImageClassification.raw_columns)
    prepared_columns: ClassVar[tuple[str, ...]] = ("target", "minimum", "maximum", "mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"target"})

    def describe(self, values: Values, settings: ImageClassificationSettings | None = None) -> dict[str, object]:
        """The target, and facts about the file."""
        return {"target": float(values["target"][0]), **super().describe(values, settings)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """The scaled target; minimum, maximum and mean level."""
        described = super().describe_prepared({**batch, "labels": batch["target"][:, 0]})
        return {"target": described.pop("class_number"), **described}

    def fit(
        self, settings: ImageClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> ImageRegressionProcessor:
        """Mean and standard deviation of each channel, and of the target."""
        targets: list[float] = []
        fitted = super().fit(settings, regression.collecting(train, targets), [])
        return ImageRegressionProcessor(**fitted.model_dump(), target=Target.fit(targets))

    def example(self, values: Values) -> Example:
        """The file."""
        return super().example({**values, "label": regression.truth_of(values)})

    def load(self, folder: Path) -> ImageRegressionProcessor:
        """Read processor.json."""
        return ImageRegressionProcessor.load(folder)


TASK = ImageRegression()
