"""The augmentation of training samples: `train.augment` of a pipeline.

Which setting a task can use follows from its network's input and output (`InputSpec.augmentations`,
`OutputSpec.augmentations` in contracts/shapes.py). Settings that are newer than 0.1 are left out of digests at their
default.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from components.contracts.table_layout import is_default
from components.core.strict import Strict


class ResizedCropSpec(Strict):
    """Crop a random rectangle and resize it to the image's size (Szegedy et al. 2014, arXiv:1409.4842).

    Args:
        scale: smallest and largest area of the rectangle, as a share of the image.
        ratio: smallest and largest ratio of its width to its height, in pixels.
    """

    scale: list[float] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    ratio: list[float] = Field(default=[3 / 4, 4 / 3], min_length=2, max_length=2)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale is [smallest, largest], between 0 and 1; got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio is [smallest, largest], above 0; got {self.ratio}")
        return self


class ColorJitterSpec(Strict):
    """Change brightness, contrast, saturation and hue by random amounts, in an order that each batch draws.

    Args:
        brightness, contrast, saturation: the factor is drawn from 1 - x to 1 + x; at 0 nothing changes.
        hue: the hue is turned by up to this share of the colour circle, in both directions.
    """

    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not (self.brightness or self.contrast or self.saturation or self.hue):
            raise ValueError("color_jitter changes nothing: set brightness, contrast, saturation or hue")
        return self


class RandAugmentSpec(Strict):
    """Apply random operations of a fixed list to each image (Cubuk et al. 2019, arXiv:1909.13719).

    Args:
        operations: number of operations, one after the other.
        magnitude: strength of all of them, 0 to 30.
    """

    operations: int = Field(default=2, ge=1, le=8)
    magnitude: int = Field(default=9, ge=0, le=30)


class SpecAugmentSpec(Strict):
    """Replace random spans of frames and of frequency bands by their mean (Park et al. 2019, arXiv:1904.08779).

    Args:
        time_masks, frequency_masks: number of spans in each sound.
        time_width, frequency_width: a span has 0 to this many frames or bands.
        time_share: a span of frames has at most this share of the sound's frames (p of the paper).
    """

    time_masks: int = Field(default=2, ge=0, le=100)
    time_width: int = Field(default=25, ge=1, le=10_000)
    time_share: float = Field(default=0.2, gt=0, le=1)
    frequency_masks: int = Field(default=2, ge=0, le=100)
    frequency_width: int = Field(default=8, ge=1, le=256)

    @model_validator(mode="after")
    def _masks_something(self) -> Self:
        if not (self.time_masks or self.frequency_masks):
            raise ValueError("spec_augment masks nothing: set time_masks or frequency_masks")
        return self


class AugmentSpec(Strict):
    """Random augmentation of training samples, drawn in every epoch; not used in evaluation and serving.

    Args:
        flip: images: mirror left and right, with probability 1/2.
        flip_vertical: images: mirror top and bottom, with probability 1/2.
        shift_pixels: images: shift by up to this many pixels in each direction; the freed border is black.
        rotate_degrees: images: rotate by up to this angle.
        erase: images: probability that a rectangle of up to a third of each side is blanked (Zhong et al.,
            arXiv:1708.04896).
        resized_crop, color_jitter, rand_augment: images.
        mixup: alpha: a sample is mixed with another one of the batch, and so are their targets; the share is drawn
            from Beta(alpha, alpha) (Zhang et al. 2017, arXiv:1710.09412). Series are mixed where both have values.
        cutmix: alpha: a rectangle of an image is replaced by that of another one; the target is mixed by area (Yun et
            al. 2019, arXiv:1905.04899). With mixup, each image draws one of both.
        spec_augment: sounds.
        noise: series: standard deviation of Gaussian noise, in standard deviations of each channel (jittering, Um et
            al. 2017, arXiv:1706.00527).
        scale: series: standard deviation of the factor, around 1, of each channel's distance from its mean.
        time_warp: series: how much the speed along the series varies: standard deviation, around 1, at four knots.
        window_slice: series: a random part of this share of the length is stretched to the whole length (Le Guennec
            et al. 2016).
        word_dropout: texts: probability that a token is replaced by [MASK], or [UNK] where there is no [MASK] (Bowman
            et al. 2015, arXiv:1511.06349).
    """

    flip: bool = False
    flip_vertical: bool = False
    shift_pixels: int = Field(default=0, ge=0, le=64)
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    erase: float = Field(default=0.0, ge=0, le=1)
    resized_crop: ResizedCropSpec | None = Field(default=None, exclude_if=is_default(None))
    color_jitter: ColorJitterSpec | None = Field(default=None, exclude_if=is_default(None))
    rand_augment: RandAugmentSpec | None = Field(default=None, exclude_if=is_default(None))
    mixup: float = Field(default=0.0, ge=0, le=100, exclude_if=is_default(0.0))
    cutmix: float = Field(default=0.0, ge=0, le=100, exclude_if=is_default(0.0))
    spec_augment: SpecAugmentSpec | None = Field(default=None, exclude_if=is_default(None))
    noise: float = Field(default=0.0, ge=0, le=10, exclude_if=is_default(0.0))
    scale: float = Field(default=0.0, ge=0, le=1, exclude_if=is_default(0.0))
    time_warp: float = Field(default=0.0, ge=0, le=1, exclude_if=is_default(0.0))
    window_slice: float | None = Field(default=None, gt=0, lt=1, exclude_if=is_default(None))
    word_dropout: float = Field(default=0.0, ge=0, lt=1, exclude_if=is_default(0.0))

    @property
    def active(self) -> bool:
        """Whether any augmentation is set."""
        return self != AugmentSpec()

    def names(self) -> list[str]:
        """The settings that differ from their default."""
        plain = AugmentSpec()
        return [name for name in type(self).model_fields if getattr(self, name) != getattr(plain, name)]
