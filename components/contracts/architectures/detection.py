"""Object detectors."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class CenterSpec(ArchitectureSpec):
    """A convolutional detector without anchors: an object is a peak at its centre and four distances to its sides.

    Zhou et al. 2019 (CenterNet, arXiv:1904.07850) for the peaks; Liu et al. 2020 (TTFNet, arXiv:1909.00700) for the
    distances, which are trained around the centre and need fewer epochs. The backbone is a small residual network with
    a feature pyramid (Lin et al. 2017, arXiv:1612.03144).

    Args:
        width: channels of the first stage; they double from stage to stage.
        blocks: residual blocks of each stage.
        stages: number of stages; the first has a quarter of the image's size, each further stage half of the last.
        stride: pixels from one position of the heat map to the next.
        features: channels of the pyramid and of the head.
        kept: largest number of peaks of an image in the output.
    """

    module: ClassVar[str] = "components.models.centernet"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"boxes"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "features")

    family: Literal["cnn"]
    name: Literal["center"]
    width: int = Field(default=24, ge=1, le=512)
    blocks: int = Field(default=1, ge=1, le=16)
    stages: int = Field(default=4, ge=2, le=5)
    stride: Literal[4, 8] = 4
    features: int = Field(default=48, ge=1, le=1024)
    kept: int = Field(default=100, ge=1, le=1000)


class YolosSpec(ArchitectureSpec):
    """A Transformer over patches of an image and detection tokens, from transformers: Fang et al. 2021,
    arXiv:2106.00666. Each token gives one box; the loss matches tokens to objects (DETR, Carion et al. 2020,
    arXiv:2005.12872).

    Without pretrained weights it needs many more images and epochs than `center`.

    Args:
        patch: side of a patch in pixels; it divides height and width.
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward; null for four times the width.
        tokens: number of detection tokens: the largest number of boxes of an image.
        dropout: dropout rate of vectors and attention weights.
    """

    module: ClassVar[str] = "components.models.yolos"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"boxes"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "inner")
    width_divisors: ClassVar[tuple[str, ...]] = ("heads",)

    family: Literal["transformer"]
    name: Literal["yolos"]
    patch: int = Field(default=16, ge=1, le=64)
    depth: int = Field(default=6, ge=2, le=96)
    width: int = Field(default=192, ge=2, le=8192)
    heads: int = Field(default=3, ge=1, le=128)
    inner: int | None = Field(default=None, ge=1, le=65536)
    tokens: int = Field(default=50, ge=1, le=1000)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self
