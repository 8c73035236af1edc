"""Settings of the tasks that read image files: how files become arrays, what a draft chooses, what a report says.

Legend: H height, W width, C channels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from components.contracts.shapes import ImageFraming, Resample
from components.core.strict import Strict
from components.tasks.task_defaults import SourceProfile

if TYPE_CHECKING:
    from components.preprocessing.image import Decoding

RAW_COLUMNS = (
    "readable", "error", "width", "height", "channels", "mean", "standard_deviation", "lowest", "highest", "level_span",
    "constant",
)  # fmt: skip
LIBRARIES = ("pillow", "pillow-heif")
REQUEST_LIMIT = "serving.max_image_megapixels of the pipeline"
FEW_LEVELS = 32  # a span below this is noted: an eighth of the range
# Keys that datasets and packages of earlier versions do not have; left out at these values, so that digests are kept.
_LATER = {
    "max_megapixels": 25.0, "levels": None, "resize": "stretch", "normalise": None, "shortest_edge": None,
    "resample": "bilinear", "processor": None,
}  # fmt: skip
# Of the images of ImageNet, as of torchvision's and most other public weights.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


class ImageClassificationSettings(Strict):
    """How image files become arrays uint8 (height, width, channels).

    Args:
        max_megapixels: larger images are refused; a JPEG file may be larger if it can be decoded at a part of its size.
        levels: [low, high], the range of levels that becomes 0 to 255, for images of more than eight bits; without it,
            0 to 65535 for 16 bits, while 32 bits and float are refused.
        resize: stretch to height and width; or keep the aspect: crop what is beyond at two sides, or pad with black.
        normalise: mean and standard deviation of each channel, in units of 0..1, by which the network normalises:
            `imagenet`; `dataset`, those of the train split; or [mean, std], two lists. Without it those of the train
            split, or those of pretrained weights that say theirs.
        shortest_edge: with `resize: crop`: the shorter side in pixels before the crop to height and width, as of most
            ImageNet weights (256 before 224); without it the largest part of the image is kept.
        resample: filter of the resize.
        processor: `dataset` keeps these sizes and this resize where the image processor of pretrained weights has
            others; without it a training from such weights is refused.
    """

    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: Literal[1, 3]
    max_megapixels: float = Field(default=25.0, gt=0, le=1000)
    levels: list[float] | None = None
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    normalise: Literal["imagenet", "dataset"] | list[list[float]] | None = None
    shortest_edge: int | None = Field(default=None, ge=1, le=8192)
    resample: Resample = "bilinear"
    processor: Literal["dataset"] | None = None

    @field_validator("levels")
    @classmethod
    def _is_range(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and not (len(value) == 2 and -math.inf < value[0] < value[1] < math.inf):
            raise ValueError("a range of two numbers, the lower first")
        return value

    @model_validator(mode="after")
    def _normalise_has_a_value_a_channel(self) -> Self:
        if self.normalise == "imagenet" and self.channels != 3:
            raise ValueError("normalise: imagenet is of three channels")
        if isinstance(self.normalise, list):
            lengths = [len(values) for values in self.normalise]
            if lengths != [self.channels, self.channels]:
                raise ValueError(f"normalise is [mean, std], each with {self.channels} values, one a channel")
            mean, std = self.normalise
            if not all(0 <= value <= 1 for value in mean) or not all(0 < value <= 10 for value in std):
                raise ValueError("normalise is in units of 0..1: means of 0 to 1, standard deviations above 0")
        return self

    @model_validator(mode="after")
    def _shortest_edge_is_cropped(self) -> Self:
        if self.shortest_edge is not None and self.resize != "crop":
            raise ValueError("shortest_edge goes with resize: crop")
        if self.shortest_edge is not None and self.shortest_edge < max(self.height, self.width):
            raise ValueError("shortest_edge is at least height and width, which are cropped from it")
        return self

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key not in _LATER or value != _LATER[key]}

    def size(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels

    def statistics(self, measured: tuple[list[float], list[float]]) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel: what `normalise` states, else what was measured in train."""
        if self.normalise == "imagenet":
            return IMAGENET
        return (self.normalise[0], self.normalise[1]) if isinstance(self.normalise, list) else measured

    def normalisation(self) -> Literal["auto", "dataset", "stated"]:
        """Where the statistics are from, for `ImageInput`."""
        return "auto" if self.normalise is None else "dataset" if self.normalise == "dataset" else "stated"

    def framing(self) -> ImageFraming:
        """How an image is fitted into height and width, for `ImageInput`."""
        return ImageFraming(
            resize=self.resize,
            shortest_edge=self.shortest_edge,
            resample=self.resample,
            stated=self.processor == "dataset",
        )

    def decoding(self) -> Decoding:
        """How files of the dataset are decoded."""
        from components.preprocessing.image import Decoding
        from components.preprocessing.image_file import MAX_PIXELS

        limit = int(self.max_megapixels * 1_000_000)
        levels = None if self.levels is None else (self.levels[0], self.levels[1])
        return Decoding(
            limit, levels=levels, resize=self.resize, reduce_above=min(limit, MAX_PIXELS),
            shortest_edge=self.shortest_edge, resample=self.resample,
        )  # fmt: skip

    def request_decoding(self, max_pixels: int) -> Decoding:
        """How files of requests are decoded: as those of the dataset, with the service's own limit."""
        return self.decoding()._replace(max_pixels=max_pixels, setting=REQUEST_LIMIT)


def describe(content: bytes, settings: ImageClassificationSettings | None) -> dict[str, object]:
    """`RAW_COLUMNS` of an image file; without settings: before they are chosen."""
    from components.preprocessing import image

    if settings is None:
        return image.describe(content)
    return image.describe(content, settings.decoding(), (settings.width, settings.height))


def draft(profile: SourceProfile, max_side: int, multiple: int) -> dict[str, Any]:
    """`input:` of a drafted dataset: height, width and channels, and the range of levels of more than eight bits.

    The usual size, scaled down to `max_side`; grey where every image is grey; of images without a usual size, a square
    of the median width. Files that cannot be read do not count.

    Args:
        multiple: height and width are multiples of this.
    """
    from components.preprocessing import levels

    sizes = Counter(zip(profile.numbers("width"), profile.numbers("height"), strict=True))
    (width, height), often = sizes.most_common(1)[0]
    if often * 2 < sizes.total():
        widths = sorted(pair[0] for pair in sizes.elements())
        width = height = widths[len(widths) // 2]
    scale = min(1.0, max_side / max(width, height))
    sides = [max(multiple, multiple * round(side * scale / multiple)) for side in (height, width)]
    channels = 1 if set(profile.numbers("channels")) <= {1.0} else 3
    settings: dict[str, Any] = {"height": int(sides[0]), "width": int(sides[1]), "channels": channels}
    if lowest := profile.numbers("lowest"):
        seen = levels.outer_range(min(lowest), max(profile.numbers("highest")))
        if seen is not None:
            settings["levels"] = seen
    return settings


def draft_notes(profile: SourceProfile, settings: Mapping[str, Any]) -> list[str]:
    """The range of levels that the draft chose; images of few levels, and images of a single one.

    Args:
        profile: described by these settings.
    """
    notes = []
    lowest, highest, spans = (profile.numbers(column) for column in ("lowest", "highest", "level_span"))
    if "levels" in settings and lowest:
        notes.append(
            f"{len(lowest):,} of {profile.samples:,} images have levels of more than eight bits, {min(lowest):g} to"
            f" {max(highest):g}: input.levels is {settings['levels']}; other levels are clipped"
        )
    if few := [span for span in spans if 0 < span < FEW_LEVELS]:
        notes.append(
            f"{len(few):,} of {profile.samples:,} images span at most {max(few):g} of 255 levels after decoding:"
            " they are nearly of one colour, or their levels need another range (input.levels)"
        )
    if constant := spans.count(0):
        notes.append(
            f"{constant:,} of {profile.samples:,} images are of a single level after decoding, such as black:"
            " expectations.json refuses them"
        )
    return notes
