"""Semantic segmentation: an image file -> a mask with the class of each pixel.

Images and masks are resized to one height and width, stretched or padded; answers have the size of the picture that was
sent. Legend: N samples, H height, W width, C channels, K classes, h, w size of a picture.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import ImageInput, InputSpec, MaskOutput, OutputSpec
from components.core.errors import SampleError
from components.core.strict import Strict
from components.tasks import classification, image_classification, image_settings, items
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.processor import BaseProcessor
from components.tasks.task import (
    AnsweredFile,
    EndpointSchema,
    Example,
    FieldKind,
    Metric,
    Prediction,
    RawSample,
    ValidationMetric,
    Values,
)
from components.tasks.task_defaults import Layout, SourceProfile, TaskDefaults

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.preprocessing.image import Decoding
    from components.tasks.task import Arrays, RunGraph

MAX_SIDE = 160  # of a drafted dataset's images
MULTIPLE = 16  # of their height and width: the network halves them four times


class SegmentationSettings(ImageClassificationSettings):
    """How image files become arrays. No cropping: an answer has a class for every pixel of the picture."""

    resize: Literal["stretch", "pad"] = "stretch"


class SegmentationProcessor(BaseProcessor, SegmentationSettings):
    """Decoding and resizing, with the statistics of the train split and the classes.

    Args:
        mean, std: of each channel in units of 0..1, of the train split or as `normalise` states; the network
            standardises with them.
        classes: names of the classes, in the order of their numbers in `masks`.
    """

    mean: list[float]
    std: list[float]
    classes: list[str]

    def input_spec(self) -> ImageInput:
        """uint8 images (N, H, W, C)."""
        shape = self.model_dump(include={"height", "width", "channels", "mean", "std"})
        return ImageInput(**shape, normalise=self.normalisation(), framing=self.framing())

    def output_spec(self) -> MaskOutput:
        """Logits (N, K, H, W)."""
        return MaskOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C), `masks` uint8 (H, W): class numbers, 255 for ignored pixels."""
        return (
            ArraySpec(name="images", type="uint8", shape=(self.height, self.width, self.channels)),
            ArraySpec(name="masks", type="uint8", shape=(self.height, self.width)),
        )

    def inputs(self) -> tuple[str, ...]:
        """The images."""
        return ("images",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images, and masks with the numbers of the dataset's classes."""
        return items.each(self._encoded, samples)

    def _encoded(self, raw: RawSample) -> Arrays:
        import numpy as np

        from components.preprocessing import mask

        lookup = np.full(256, mask.IGNORED, np.uint8)
        known = {int(number): name for number, name in raw.values["mask_classes"].items()}
        for number, name in known.items():
            lookup[number] = classification.number(name, self.classes)
        masks = raw.decoded["masks"]
        if odd := sorted(set(np.unique(masks).tolist()) - {*known, mask.IGNORED}):
            raise SampleError("a mask with numbers of no class", got=odd, expected=sorted(known))
        return {"images": raw.decoded["images"], "masks": lookup[masks]}

    def read(self, item: Any, *, max_pixels: int) -> Arrays:
        """An image file (bytes, or base64 text)."""
        from components.preprocessing import image

        content = item if isinstance(item, bytes) else image.from_base64(item)
        return _decoded(content, self, self.request_decoding(max_pixels))

    def items(self, document: Mapping[str, Any]) -> list[Any]:
        """The items of `image` or `images`."""
        return items.of(document, "image", "images")

    def answer(
        self, run: RunGraph, samples: Sequence[Arrays], classes: Sequence[str], parameters: Strict | None
    ) -> list[Prediction]:
        """The likeliest class of each pixel of the request's picture; for a prepared sample, of the resized image."""
        from components.preprocessing.batch import stacked

        images = stacked([sample["images"] for sample in samples])  # (N, H, W, C)
        numbers = run("model", {"images": images})["probabilities"].argmax(axis=1)  # (N, H, W)
        sizes = [sample["size"].tolist() if "size" in sample else [self.width, self.height] for sample in samples]
        return [self._prediction(row, size, classes) for row, size in zip(numbers, sizes, strict=True)]

    def _prediction(self, numbers: NDArray[np.int64], size: Sequence[int], classes: Sequence[str]) -> Prediction:
        import numpy as np

        from components.ingestion import png
        from components.preprocessing import mask

        found = mask.back(numbers.astype(np.uint8), (size[0], size[1]), self.resize)  # (h, w)
        shares = np.bincount(found.ravel(), minlength=len(classes)) / found.size
        file = png.encode_indexed(found, mask.colours(classes))
        rows = [
            {"label": name, "value": number, "share": share}
            for number, (name, share) in enumerate(zip(classes, shares.tolist(), strict=True))
        ]
        return {"classes": rows, "width": size[0], "height": size[1], "mask": base64.b64encode(file).decode()}

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Image files to masks."""
        one = {
            "label": {"type": "string", "enum": list(classes)},
            "value": {"type": "integer", "minimum": 0, "description": "of the mask's pixels of the class"},
            "share": {"type": "number", "minimum": 0, "maximum": 1, "description": "of the mask's pixels"},
        }
        row = {"type": "object", "properties": one, "required": list(one), "additionalProperties": False}
        side = {"type": "integer", "minimum": 1}
        text = "a PNG file with the number of the class of each pixel, base64"
        answered = {
            "classes": {"type": "array", "items": row},
            "width": side,
            "height": side,
            "mask": {"type": "string", "contentEncoding": "base64", "description": text},
        }
        return EndpointSchema(
            item="image",
            items="images",
            media=("application/octet-stream", "image/*"),
            schema={"type": "string", "contentEncoding": "base64", "description": "an image file, base64"},
            prediction={
                "type": "object", "properties": answered, "required": list(answered), "additionalProperties": False,
            },
            form="image",
            summary=f"Find the pixels of {', '.join(classes)}",
            file=AnsweredFile("image/png", "mask"),
        )  # fmt: skip


class SemanticSegmentation(TaskDefaults):
    """The half without state. `mask` is a PNG file of numbers, `mask_classes` has the names of those in it."""

    name: ClassVar[str] = "semantic-segmentation"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "mask": "binary", "mask_classes": "json"}
    payload_field: ClassVar[str] = "image"
    settings: ClassVar[type[Strict]] = SegmentationSettings
    input_type: ClassVar[type[InputSpec]] = ImageInput
    output_type: ClassVar[type[OutputSpec]] = MaskOutput
    objective: ClassVar[str] = "components.training.objectives.segmentation:SegmentationObjective"
    scorer: ClassVar[str] = "components.evaluation.segmentation:SCORER"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("mean_iou", higher_is_better=True)
    metrics: ClassVar[dict[str, Metric]] = {
        "mean_iou": Metric(True, "mean over the classes of the intersection over union of their pixels"),
        "mean_dice": Metric(True, "mean over the classes of the Dice coefficient (F1) of their pixels"),
        "pixel_accuracy": Metric(True, "share of pixels with the right class"),
    }
    libraries: ClassVar[tuple[str, ...]] = image_settings.LIBRARIES
    raw_columns: ClassVar[tuple[str, ...]] = (
        *image_settings.RAW_COLUMNS, "mask_readable", "classes", "largest_share", "ignored_share",
    )  # fmt: skip
    describe_by_settings: ClassVar[bool] = True
    prepared_columns: ClassVar[tuple[str, ...]] = ("classes", "largest_class", "largest_share", "ignored_share", "mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"classes", "largest_class", "largest_share", "ignored_share"})
    starting_model: ClassVar[dict[str, Any]] = {"family": "cnn", "name": "unet-segmentation"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "unet-segmentation", "width": 8, "depth": 3},
    }
    max_batch_size: ClassVar[int] = 8

    def draft_layout(self, layout: Layout) -> dict[str, Any]:
        """Annotations as in COCO are read as masks."""
        return {**layout, "masks": "segments"} if layout.get("kind") == "coco" else dict(layout)

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The size of the images, at most `MAX_SIDE`, in multiples of 16, and the range of deep levels."""
        return image_settings.draft(profile, MAX_SIDE, MULTIPLE)

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """The range of levels, and images of few levels."""
        return image_settings.draft_notes(profile, settings)

    def content(self, values: Values) -> bytes:
        """The file's bytes."""
        return bytes(values["image"])

    def labels(self, values: Values) -> list[str]:
        """The classes in the mask."""
        names = values["mask_classes"]
        return sorted(map(str, names.values())) if isinstance(names, dict) else []

    def strata(self, values: Values) -> list[str]:
        """The classes in the mask."""
        return self.labels(values)

    def describe(self, values: Values, settings: SegmentationSettings | None = None) -> dict[str, object]:
        """Facts about the file and its mask; without settings: before they are chosen."""
        return {**image_settings.describe(values["image"], settings), **_describe_mask(values["mask"])}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of classes, largest class number, share of the largest class and of ignored pixels, mean level."""
        import numpy as np

        facts = [_shares(mask) for mask in batch["masks"]]
        names = ("classes", "largest_class", "largest_share", "ignored_share")
        images = batch["images"]
        found = {name: np.array([row[name] for row in facts]) for name in names}
        return {**found, "mean": images.reshape(len(images), -1).mean(axis=1)}

    def preview(self, values: Values) -> bytes | str:
        """The file."""
        return bytes(values["image"])

    def decode(self, values: Values, settings: SegmentationSettings) -> Arrays:
        """`images` uint8 (H, W, C), `masks` uint8 (H, W) with the numbers of the raw mask, and `size` int64 (2,)."""
        from components.preprocessing import mask

        found = _decoded(values["image"], settings, settings.decoding())
        width, height = found["size"].tolist()
        target = settings.width, settings.height
        masks = mask.fitted(mask.decode(values["mask"]), (width, height), target, settings.resize)
        return {**found, "masks": masks}

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The pixels: two files of equal pixels are duplicates."""
        return decoded["images"].tobytes()

    def fit(
        self, settings: SegmentationSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> SegmentationProcessor:
        """Mean and standard deviation of each channel."""
        from components.preprocessing.pixel_statistics import PixelStatistics

        statistics = PixelStatistics(settings.channels)
        for raw in train:
            statistics.add(raw.decoded["images"][None])
        mean, std = settings.statistics(statistics.result())
        return SegmentationProcessor(**settings.model_dump(), mean=mean, std=std, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The file; the truth is the classes in the mask as text."""
        truth = ", ".join(self.labels(values)) or "none"
        return image_classification.TASK.example({"image": values["image"], "label": truth})

    def load(self, folder: Path) -> SegmentationProcessor:
        """Read processor.json."""
        return SegmentationProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether the shares of all classes differ by less than a hundredth."""
        pairs = zip(ours["classes"], theirs["classes"], strict=True)
        return all(one["label"] == other["label"] and abs(one["share"] - other["share"]) < 0.01 for one, other in pairs)


def _decoded(content: bytes, settings: SegmentationSettings, how: Decoding) -> Arrays:
    import numpy as np

    from components.preprocessing import image

    decoded = image.read(content, *settings.size(), how)
    return {"images": decoded.pixels, "size": np.asarray((decoded.width, decoded.height), np.int64)}


def _describe_mask(content: bytes) -> dict[str, object]:
    """Facts about a raw mask; numbers that a damaged mask does not have are None."""
    from components.preprocessing import mask

    try:
        facts = _shares(mask.decode(content))
    except SampleError:
        return {"mask_readable": False, "classes": None, "largest_share": None, "ignored_share": None}
    del facts["largest_class"]
    return {"mask_readable": True, **facts}


def _shares(numbers: NDArray[np.uint8]) -> dict[str, int | float]:
    """Number of classes of a mask (H, W), largest class number (-1: none), shares of the largest class and of ignored
    pixels."""
    import numpy as np

    from components.preprocessing import mask

    counts = np.bincount(numbers.ravel(), minlength=256)
    classes = counts[: mask.IGNORED]
    return {
        "classes": int(np.count_nonzero(classes)),
        "largest_class": int(np.flatnonzero(classes).max(initial=-1)),
        "largest_share": float(classes.max() / numbers.size),
        "ignored_share": float(counts[mask.IGNORED] / numbers.size),
    }


TASK = SemanticSegmentation()
