"""What goes into a network and what comes out of it: all that an architecture has to know of its task.

Legend: N batch, H height, W width, C channels, T length, K classes, V vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from components.core.strict import Strict


class ImageInput(Strict):
    """uint8 images (N, H, W, C); mean and std of each channel over the train split, in units of 0..1."""

    kind: Literal["image"] = "image"
    height: int
    width: int
    channels: int
    mean: list[float]
    std: list[float]


class TokensInput(Strict):
    """Token numbers int64 (N, T), padded with `pad`, and lengths int64 (N,); T is at most `max_length`."""

    kind: Literal["tokens"] = "tokens"
    vocabulary: int
    max_length: int
    pad: int = 0


class SeriesInput(Strict):
    """Values float32 (N, T, C), padded with 0, and lengths int64 (N,); T is at most `max_length`.

    Args:
        mean, std: of each channel over the train split; the network itself standardises.
        fixed: every series has exactly `max_length` steps.
        instance_norm: behind that, the network takes out each series' own mean and standard deviation.
    """

    kind: Literal["series"] = "series"
    channels: int
    max_length: int
    mean: list[float]
    std: list[float]
    fixed: bool = False
    instance_norm: bool = False


NoiseSchedule = Literal["cosine", "linear"]


class NoiseInput(Strict):
    """For diffusion: images as `ImageInput`, that noise is added to and removed from, and their classes int64 (N,).

    Args:
        schedule, steps: how noisy an image is at each step (`preprocessing.noise_schedule`).
    """

    kind: Literal["noise"] = "noise"
    height: int
    width: int
    channels: int
    classes: int
    schedule: NoiseSchedule = "cosine"
    steps: int = 1000


class ClassesOutput(Strict):
    """Logits (N, K)."""

    kind: Literal["classes"] = "classes"
    classes: int


class TokenClassesOutput(Strict):
    """Logits (N, T, K), one row a token."""

    kind: Literal["token-classes"] = "token-classes"
    classes: int


class ForecastOutput(Strict):
    """Values (N, horizon, C, Q): quantiles of each channel at each step ahead; Q is 1 for a point forecast."""

    kind: Literal["forecast"] = "forecast"
    horizon: int
    channels: int
    quantiles: list[float]


class NextTokenOutput(Strict):
    """Logits (N, T, V) of the token that follows each, of this very vocabulary."""

    kind: Literal["next-token"] = "next-token"
    vocabulary: int


class TextOutput(Strict):
    """For translation: logits (N, T, V) of the target's next token, given the source and the target so far."""

    kind: Literal["text"] = "text"
    vocabulary: int
    max_length: int
    begin: int
    end: int
    pad: int = 0


class BoxesOutput(Strict):
    """For detection; what a network gives is the architecture's own affair and that of its decoding."""

    kind: Literal["boxes"] = "boxes"
    classes: int


class NoiseOutput(Strict):
    """The noise in an image, of the image's shape, float32 (N, C, H, W)."""

    kind: Literal["noise"] = "noise"


Input = Annotated[ImageInput | TokensInput | SeriesInput | NoiseInput, Field(discriminator="kind")]
Output = Annotated[
    ClassesOutput | TokenClassesOutput | ForecastOutput | NextTokenOutput | TextOutput | BoxesOutput | NoiseOutput,
    Field(discriminator="kind"),
]
