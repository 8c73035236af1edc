"""Image classification: an image file -> one of K classes.

Legend: N samples, H height, W width, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ClassesOutput, ImageInput, InputSpec
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification, image_settings
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.processor import BaseProcessor
from components.tasks.task import EndpointSchema, Example, FieldKind, Prediction, RawSample, Values
from components.tasks.task_defaults import Layout, SourceProfile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.tasks.task import Arrays, RunGraph

MAX_SIDE = 64  # of a drafted dataset's images: four times as fast on a CPU as 128
RESIDUAL = {"family": "cnn", "name": "resnet", "depth": 20, "width": 16}
RESIDUAL_EPOCHS = 20
RESIDUAL_FROM = 500  # colour images of the train split from which a draft begins with a residual network


class ImageClassificationProcessor(BaseProcessor, ImageClassificationSettings):
    """Decoding and resizing, with the statistics of the train split and the classes.

    Args:
        mean, std: of each channel in units of 0..1, of the train split or as `normalise` states; the network
            standardises with them.
        classes: names of the classes, in the order of the label numbers.
    """

    mean: list[float]
    std: list[float]
    classes: list[str]

    def input_spec(self) -> ImageInput:
        """uint8 images (N, H, W, C)."""
        shape = self.model_dump(include={"height", "width", "channels", "mean", "std"})
        return ImageInput(**shape, normalise=self.normalisation(), framing=self.framing())

    def output_spec(self) -> ClassesOutput:
        """Logits (N, K)."""
        return ClassesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C), `labels` int64 ()."""
        return ArraySpec(
            name="images", type="uint8", shape=(self.height, self.width, self.channels)
        ), classification.LABELS

    def inputs(self) -> tuple[str, ...]:
        """The images."""
        return ("images",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images and label numbers."""
        import numpy as np

        numbers = [classification.number(raw.values["label"], self.classes) for raw in samples]
        return [
            {"images": raw.decoded["images"], "labels": np.asarray(number, np.int64)}
            for raw, number in zip(samples, numbers, strict=True)
        ]

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """An image file (bytes, or base64 text), or pixels (H, W[, C]) of 0 to 255."""
        import numpy as np

        from components.preprocessing import image

        if isinstance(item, np.ndarray):
            return {"images": image.checked(item, self.height, self.width, self.channels)}
        content = item if isinstance(item, bytes) else image.from_base64(item)
        return {"images": image.read(content, *self.size(), self.request_decoding(max_pixels)).pixels}

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `image`, `images` or `pixels`."""
        from components.preprocessing import image

        if "pixels" in document:
            return list(image.pixels(document["pixels"]))
        texts = document["images"] if "images" in document else [document["image"]]
        if not isinstance(texts, list):
            raise SampleError("images must be a list", got=type(texts).__name__)
        return texts

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class, and the probability of each class."""
        from components.preprocessing.batch import stacked

        images = stacked([sample["images"] for sample in samples])  # (N, H, W, C)
        return classification.predictions(run("model", {"images": images})["probabilities"], classes)

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Image files, base64 texts or pixels to labels."""
        pixels: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": 255}
        for size in (self.channels, self.width, self.height):
            pixels = {"type": "array", "items": pixels, "minItems": size, "maxItems": size}
        return EndpointSchema(
            item="image",
            items="images",
            media=("application/octet-stream", "image/*"),
            schema={"type": "string", "contentEncoding": "base64", "description": "an image file, base64"},
            others={"pixels": {"type": "array", "items": pixels, "minItems": 1}},
            prediction=classification.schema(classes),
            form="image",
            summary="Classify images",
        )


class ImageClassification(classification.OneClass):
    """The half without state."""

    name: ClassVar[str] = "image-classification"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "label": "text"}
    payload_field: ClassVar[str] = "image"
    item_field: ClassVar[str] = "image"
    settings: ClassVar[type[Strict]] = ImageClassificationSettings
    input_type: ClassVar[type[InputSpec]] = ImageInput
    libraries: ClassVar[tuple[str, ...]] = image_settings.LIBRARIES
    raw_columns: ClassVar[tuple[str, ...]] = image_settings.RAW_COLUMNS
    describe_by_settings: ClassVar[bool] = True
    prepared_columns: ClassVar[tuple[str, ...]] = ("class_number", "minimum", "maximum", "mean")
    starting_model: ClassVar[dict[str, Any]] = {
        "family": "cnn", "name": "textbook", "depth": 3, "width": 32, "dropout": 0.25,
    }  # fmt: skip
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "textbook", "depth": 2, "width": 32},
        "transformer": {"name": "vit", "depth": 4, "width": 96},
    }

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The size of the images, at most `MAX_SIDE`, and the range of levels of more than eight bits."""
        return image_settings.draft(profile, MAX_SIDE, 1)

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """The range of levels, and images of few levels."""
        return image_settings.draft_notes(profile, settings)

    def draft_model(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A residual network for many colour images, else the textbook's."""
        return dict(RESIDUAL) if _are_photos(samples, settings) else super().draft_model(samples, settings)

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The recipe of a residual network for photos, mirrored and shifted."""
        drafted = super().draft_training(samples, settings)
        return _residual_training(drafted, settings, flip=True) if _are_photos(samples, settings) else drafted

    def draft_candidates(self, samples: int, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The textbook's network, a residual network and a vision transformer; the drafted one is the first."""
        plain = super().draft_training(samples, settings)
        photos = _are_photos(samples, settings)
        transformer = {"family": "transformer", **self.family_models["transformer"]}
        candidates = [
            {"model": dict(self.starting_model), "train": plain},
            {"model": dict(RESIDUAL), "train": _residual_training(plain, settings, flip=photos)},
            {"model": transformer, "train": plain},
        ]
        drafted = self.draft_model(samples, settings)["name"]
        return sorted(candidates, key=lambda candidate: candidate["model"]["name"] != drafted)

    def content(self, values: Values) -> bytes:
        """The file's bytes."""
        return bytes(values["image"])

    def describe(self, values: Values, settings: ImageClassificationSettings | None = None) -> dict[str, object]:
        """Facts about the file: whether it can be read, size, levels; without settings: before they are chosen."""
        return image_settings.describe(values["image"], settings)

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Class number; minimum, maximum and mean level."""
        images = batch["images"].reshape(len(batch["images"]), -1)  # (N, H * W * C)
        return {
            "class_number": batch["labels"],
            "minimum": images.min(axis=1),
            "maximum": images.max(axis=1),
            "mean": images.mean(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """The file."""
        return bytes(values["image"])

    def decode(self, values: Values, settings: ImageClassificationSettings) -> Arrays:
        """`images` uint8 (H, W, C)."""
        from components.preprocessing import image

        return {"images": image.read(values["image"], *settings.size(), settings.decoding()).pixels}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The pixels: two files of equal pixels are duplicates."""
        return decoded["images"].tobytes()

    def fit(
        self, settings: ImageClassificationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> ImageClassificationProcessor:
        """Mean and standard deviation of each channel."""
        from components.preprocessing.pixel_statistics import PixelStatistics

        statistics = PixelStatistics(settings.channels)
        for raw in train:
            statistics.add(raw.decoded["images"][None])
        mean, std = settings.statistics(statistics.result())
        return ImageClassificationProcessor(**settings.model_dump(), mean=mean, std=std, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The file."""
        from components.preprocessing import image_file

        content = bytes(values["image"])
        return Example(content, *image_file.media(content), values["label"])

    def load(self, folder: Path) -> ImageClassificationProcessor:
        """Read processor.json."""
        return ImageClassificationProcessor.load(folder)


def _residual_training(drafted: dict[str, Any], settings: Mapping[str, Any], *, flip: bool) -> dict[str, Any]:
    """The recipe of He et al. (arXiv:1512.03385) under one cycle: the images shifted, and mirrored if `flip`."""
    return {
        **drafted,
        "epochs": max(RESIDUAL_EPOCHS, drafted["epochs"]),
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "weight_decay": 5e-4,
        "augment": {"flip": flip, "shift_pixels": int(settings["height"]) // 8},
    }


def _are_photos(samples: int, settings: Mapping[str, Any]) -> bool:
    return (
        settings.get("channels") == 3 and samples >= RESIDUAL_FROM and min(settings["height"], settings["width"]) >= 32
    )


TASK = ImageClassification()
