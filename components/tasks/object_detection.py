"""Object detection: an image file -> boxes with classes and scores.

Images are resized to one height and width, stretched or padded; boxes are relative to the resized image, in 0..1.
Answers are in pixels of the image that was sent.
Legend: N samples, H height, W width, C channels, M boxes of a sample, A boxes before suppression, K classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from components.contracts.array_spec import ArraySpec
from components.contracts.shapes import BoxesOutput, ImageInput, InputSpec, OutputSpec
from components.core.strict import Strict
from components.tasks import classification, image_classification, image_settings, items
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.processor import BaseProcessor
from components.tasks.task import (
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

    from components.preprocessing.boxes import Detections
    from components.preprocessing.image import Decoding
    from components.preprocessing.resizing import Frame
    from components.tasks.task import Arrays, RunGraph

MAX_SHIFT = 64  # pixels, of the training of a draft
MAX_SIDE = 320  # of a drafted dataset's images
_ABOVE_ZERO = 1e-30
_SCORED = {"score_threshold": _ABOVE_ZERO, "iou_threshold": 0.5, "max_detections": 200}  # what is scored: sure or not


class ObjectDetectionSettings(ImageClassificationSettings):
    """How image files become arrays. No cropping, which would cut boxes that the answer should name."""

    resize: Literal["stretch", "pad"] = "stretch"


class ObjectDetectionParameters(Strict):
    """Parameters of a request.

    Args:
        score_threshold: smallest score of a box.
        iou_threshold: of two boxes of a class that overlap by more, only the box of the higher score is returned.
        max_boxes: largest number of boxes.
    """

    score_threshold: float = Field(default=0.5, ge=0.001, le=1)
    iou_threshold: float = Field(default=0.5, ge=0, le=1)
    max_boxes: int = Field(default=100, ge=1, le=1000)


class ObjectDetectionProcessor(BaseProcessor, ObjectDetectionSettings):
    """Decoding and resizing, with the statistics of the train split and the classes.

    Args:
        mean, std: of each channel in units of 0..1, of the train split or as `normalise` states; the network
            standardises with them.
        classes: names of the classes, in the order of their numbers in `box_classes`.
    """

    mean: list[float]
    std: list[float]
    classes: list[str]

    def input_spec(self) -> ImageInput:
        """uint8 images (N, H, W, C)."""
        shape = self.model_dump(include={"height", "width", "channels", "mean", "std"})
        return ImageInput(**shape, normalise=self.normalisation(), framing=self.framing())

    def output_spec(self) -> BoxesOutput:
        """Boxes of K classes."""
        return BoxesOutput(classes=len(self.classes))

    def arrays(self) -> tuple[ArraySpec, ...]:
        """`images` uint8 (H, W, C), `boxes` float32 (M, 4) as centre and sides in 0..1, `box_classes` int64 (M,).

        `box_flags` uint8 (M,): 1 for difficult boxes, 2 for crowds, which are neither learnt nor counted as misses.
        """
        return (
            ArraySpec(name="images", type="uint8", shape=(self.height, self.width, self.channels)),
            ArraySpec(name="boxes", type="float32", shape=(4,), layout="ragged"),
            ArraySpec(name="box_classes", type="int64", shape=(), layout="ragged"),
            ArraySpec(name="box_flags", type="uint8", shape=(), layout="ragged"),
        )

    def inputs(self) -> tuple[str, ...]:
        """The images."""
        return ("images",)

    def encode(self, samples: Sequence[RawSample]) -> list[Arrays]:
        """Decoded images and their boxes; boxes without area are left out.

        So are difficult boxes and crowds of a class that has no other boxes: it is none of the classes.
        """
        return items.each(self._encoded, samples)

    def _encoded(self, raw: RawSample) -> Arrays:
        import numpy as np

        from components.preprocessing import boxes

        width, height = raw.decoded["size"].tolist()
        own_boxes, labels, flags = boxes.read_flagged(raw.values["boxes"], width, height)
        kept = [place for place, label in enumerate(labels) if not flags[place] or label in self.classes]
        numbers = [classification.number(labels[place], self.classes) for place in kept]
        return {
            "images": raw.decoded["images"],
            "boxes": self._frame(width, height).into(own_boxes[kept]),
            "box_classes": np.asarray(numbers, np.int64),
            "box_flags": np.asarray(flags, np.uint8)[kept],
        }

    def _frame(self, width: int, height: int) -> Frame:
        from components.preprocessing import resizing

        return resizing.frame(width, height, (self.width, self.height), self.resize)

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
        """Boxes in pixels of the image of the request; for a prepared sample, in pixels of the resized image."""
        import numpy as np

        from components.preprocessing import boxes

        chosen = parameters if isinstance(parameters, ObjectDetectionParameters) else ObjectDetectionParameters()
        sizes = [sample["size"].tolist() if "size" in sample else [self.width, self.height] for sample in samples]
        found = self._suppressed(
            run, np.stack([sample["images"] for sample in samples]),
            score_threshold=chosen.score_threshold, iou_threshold=chosen.iou_threshold,
            max_detections=chosen.max_boxes,
        )  # fmt: skip
        return [
            {
                "boxes": boxes.in_pixels(
                    one._replace(boxes=self._frame(width, height).out_of(one.boxes)), width, height, classes
                )
            }
            for one, (width, height) in zip(found, sizes, strict=True)
        ]

    def detections(self, run: RunGraph, images: NDArray[np.uint8]) -> list[Detections]:
        """Boxes of images (N, H, W, C) for evaluation, whatever their scores."""
        return self._suppressed(run, images, **_SCORED)

    def _suppressed(self, run: RunGraph, images: NDArray[np.uint8], **how: Any) -> list[Detections]:
        from components.preprocessing import boxes

        outputs = run("model", {"images": images})  # boxes (N, A, 4), scores (N, A, K)
        return [boxes.non_max_suppression(*one, **how) for one in zip(outputs["boxes"], outputs["scores"], strict=True)]

    def endpoint(self, classes: Sequence[str]) -> EndpointSchema:
        """Image files to boxes."""
        number = {"type": "number", "minimum": 0}
        properties: dict[str, Any] = {
            "label": {"type": "string", "enum": list(classes)},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            **dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), number),
        }
        box = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
        return EndpointSchema(
            item="image",
            items="images",
            media=("application/octet-stream", "image/*"),
            schema={"type": "string", "contentEncoding": "base64", "description": "an image file, base64"},
            prediction={
                "type": "object",
                "properties": {"boxes": {"type": "array", "items": box}},
                "required": ["boxes"],
                "additionalProperties": False,
            },
            parameters=ObjectDetectionParameters,
            form="image",
            summary=f"Find {', '.join(classes)} in images",
        )


class ObjectDetection(TaskDefaults):
    """The half without state."""

    name: ClassVar[str] = "object-detection"
    fields: ClassVar[dict[str, FieldKind]] = {"image": "binary", "boxes": "json"}
    payload_field: ClassVar[str] = "image"
    settings: ClassVar[type[Strict]] = ObjectDetectionSettings
    input_type: ClassVar[type[InputSpec]] = ImageInput
    output_type: ClassVar[type[OutputSpec]] = BoxesOutput
    objective: ClassVar[str] = "components.training.objectives.detection:DetectionObjective"
    validation_metric: ClassVar[ValidationMetric] = ValidationMetric("map_50", higher_is_better=True)
    scorer: ClassVar[str] = "components.evaluation.detection:SCORER"
    metrics: ClassVar[dict[str, Metric]] = {
        "map_50": Metric(True, "mean average precision at an IoU of 0.5, all points"),
        "map_50_95": Metric(True, "mean average precision over IoUs of 0.5 to 0.95, all points"),
        "coco_map_50": Metric(True, "mean average precision at an IoU of 0.5 as COCO defines it, 101 points"),
        "coco_map_50_95": Metric(True, "mean average precision over IoUs of 0.5 to 0.95 as COCO defines it"),
    }
    libraries: ClassVar[tuple[str, ...]] = image_settings.LIBRARIES
    raw_columns: ClassVar[tuple[str, ...]] = (
        *image_settings.RAW_COLUMNS, "boxes", "degenerate", "outside", "least_side",
    )  # fmt: skip
    describe_by_settings: ClassVar[bool] = True
    prepared_columns: ClassVar[tuple[str, ...]] = ("boxes", "least_side", "largest_class", "mean")
    target_columns: ClassVar[frozenset[str]] = frozenset({"boxes", "least_side", "largest_class"})
    starting_model: ClassVar[dict[str, Any]] = {"family": "cnn", "name": "center"}
    family_models: ClassVar[dict[str, dict[str, Any]]] = {
        "cnn": {"name": "center"},
        "transformer": {"name": "yolos", "depth": 4, "width": 96},
    }
    max_batch_size: ClassVar[int] = 8

    def draft_settings(self, profile: SourceProfile, layout: Layout) -> dict[str, Any]:
        """The size of the images, at most `MAX_SIDE`, in multiples of 16, and the range of deep levels."""
        return image_settings.draft(profile, MAX_SIDE, 16)

    def draft_notes(self, profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
        """The range of levels, and images of few levels."""
        return image_settings.draft_notes(profile, settings)

    def draft_training(self, samples: int, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Images and boxes shifted, and mirrored if the images are photos: a detector overfits without."""
        shift = min(MAX_SHIFT, int(settings["height"]) // 8)
        augment = {"flip": settings.get("channels") == 3, "shift_pixels": shift}
        return {**super().draft_training(samples, settings), "augment": augment}

    def content(self, values: Values) -> bytes:
        """The file's bytes."""
        return bytes(values["image"])

    def labels(self, values: Values) -> list[str]:
        """The classes of the boxes."""
        return sorted(_labels(values))

    def strata(self, values: Values) -> list[str]:
        """The classes in the image."""
        return self.labels(values)

    def describe(self, values: Values, settings: ObjectDetectionSettings | None = None) -> dict[str, object]:
        """Facts about the file and its boxes; without settings: before they are chosen."""
        from components.preprocessing import boxes

        facts = image_settings.describe(values["image"], settings)
        width, height = (int(str(facts[side])) if facts["readable"] else 0 for side in ("width", "height"))
        return {**facts, **boxes.describe(values["boxes"], width, height)}

    def describe_prepared(self, batch: Arrays) -> dict[str, NDArray[Any]]:
        """Number of boxes, smallest side (1 without boxes), largest class number (-1 without boxes), mean level.

        Crowds do not count.
        """
        import numpy as np

        from components.preprocessing import boxes

        images, lengths = batch["images"], batch["boxes_lengths"]
        inside = np.arange(batch["boxes"].shape[1]) < lengths[:, None]  # (N, M)
        if "box_flags" in batch:
            inside &= batch["box_flags"] != boxes.CROWD
        return {
            "boxes": inside.sum(axis=1),
            "least_side": np.where(inside[..., None], batch["boxes"][..., 2:], 1).min(axis=(1, 2)),
            "largest_class": np.where(inside, batch["box_classes"], -1).max(axis=1),
            "mean": images.reshape(len(images), -1).mean(axis=1),
        }

    def preview(self, values: Values) -> bytes | str:
        """The file."""
        return bytes(values["image"])

    def decode(self, values: Values, settings: ObjectDetectionSettings) -> Arrays:
        """`images` uint8 (H, W, C), and `size` int64 (2,): width and height of the file's image."""
        return _decoded(values["image"], settings, settings.decoding())

    def key(self, values: Values, decoded: Arrays) -> bytes:
        """The pixels: two files of equal pixels are duplicates."""
        return decoded["images"].tobytes()

    def fit(
        self, settings: ObjectDetectionSettings, train: Iterator[RawSample], classes: Sequence[str]
    ) -> ObjectDetectionProcessor:
        """Mean and standard deviation of each channel."""
        from components.preprocessing.pixel_statistics import PixelStatistics

        statistics = PixelStatistics(settings.channels)
        for raw in train:
            statistics.add(raw.decoded["images"][None])
        mean, std = settings.statistics(statistics.result())
        return ObjectDetectionProcessor(**settings.model_dump(), mean=mean, std=std, classes=list(classes))

    def example(self, values: Values) -> Example:
        """The file; the truth is the number of boxes of each class as text."""
        counts = sorted(_labels(values).items())
        truth = ", ".join(f"{count} {label}" for label, count in counts) or "none"
        return image_classification.TASK.example({"image": values["image"], "label": truth})

    def load(self, folder: Path) -> ObjectDetectionProcessor:
        """Read processor.json."""
        return ObjectDetectionProcessor.load(folder)

    def agree(self, ours: Prediction, theirs: Prediction) -> bool:
        """Whether both have the same number of boxes of each class."""
        first, second = (Counter(box["label"] for box in prediction["boxes"]) for prediction in (ours, theirs))
        return first == second


def _decoded(content: bytes, settings: ObjectDetectionSettings, how: Decoding) -> Arrays:
    import numpy as np

    from components.preprocessing import image

    decoded = image.read(content, *settings.size(), how)
    return {"images": decoded.pixels, "size": np.asarray((decoded.width, decoded.height), np.int64)}


def _labels(values: Values) -> Counter[str]:
    """The labels of boxes that are neither difficult nor crowds."""
    from components.preprocessing import boxes

    own = [box for box in values["boxes"] if isinstance(box, dict)] if isinstance(values["boxes"], list) else []
    return Counter(str(box["label"]) for box in own if "label" in box and boxes.flag(box) == boxes.ORDINARY)


TASK = ObjectDetection()
