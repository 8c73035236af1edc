"""Networks for images in the forms of public ImageNet weights; networks for small images are in cnn.py."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class VggSpec(ArchitectureSpec):
    """Stacks of 3x3 convolutions with pooling between them, then three dense layers: Simonyan and Zisserman 2015,
    arXiv:1409.1556.

    The weights have torchvision's names; torchvision's weights, and timm's of the same name, fit if `divide` is 1 and
    `pooled` is 7.

    Args:
        depth: 11, 13, 16 or 19 layers with weights: A, B, D and E of the paper's table 1.
        divide: divisor of all widths of the paper, also of the dense layers.
        batch_norm: batch normalisation after every convolution; not in the paper, but trains from random weights.
        pooled: rows and columns of the features after average pooling, before the dense layers.
        dropout: dropout rate between the dense layers.
    """

    module: ClassVar[str] = "components.models.vgg"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})

    family: Literal["cnn"]
    name: Literal["vgg"]
    depth: Literal[11, 13, 16, 19] = 16
    divide: Literal[1, 2, 4, 8, 16, 32] = 1
    batch_norm: bool = False
    pooled: int = Field(default=7, ge=1, le=32)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class ImageNetResNetSpec(ArchitectureSpec):
    """The residual network in its ImageNet form, from transformers: He et al. 2015, arXiv:1512.03385, table 1.

    Args:
        depth: 18 and 34 have blocks of two convolutions, the others of three.
        width: channels of the first stage's convolutions; 64 in the paper.
    """

    module: ClassVar[str] = "components.models.resnet_imagenet"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["cnn"]
    name: Literal["resnet-imagenet"]
    depth: Literal[18, 34, 50, 101, 152] = 18
    width: int = Field(default=64, ge=1, le=1024)


class ConvNextSpec(ArchitectureSpec):
    """Large depthwise convolutions, built like a Transformer, from transformers: Liu et al. 2022, arXiv:2201.03545.

    Args:
        version: 2 has global response normalisation (Woo et al. 2023, arXiv:2301.00808), 1 a learned layer scale.
        widths: channels of each stage; the default is ConvNeXt V2 Atto, 3.7 M weights with 1000 classes.
        depths: blocks of each stage.
        patch: side in pixels of a patch of the stem; each further stage halves the size.
        drop_path: largest rate of stochastic depth; the rate grows from block to block.
    """

    module: ClassVar[str] = "components.models.convnext"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("widths",)

    family: Literal["cnn"]
    name: Literal["convnext"]
    version: Literal[1, 2] = 2
    widths: list[int] = Field(default=[40, 80, 160, 320], min_length=1, max_length=6)
    depths: list[int] = Field(default=[2, 2, 6, 2], min_length=1, max_length=6)
    patch: int = Field(default=4, ge=1, le=32)
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _a_depth_a_width(self) -> Self:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths: each stage needs one of both")
        if min(*self.widths, *self.depths) < 1:
            raise ValueError("widths and depths are at least 1")
        return self


class VitSpec(ArchitectureSpec):
    """A Transformer over patches of an image, from transformers: Dosovitskiy et al. 2021, arXiv:2010.11929.

    Args:
        patch: side of a patch in pixels; it divides height and width.
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward; null for four times the width.
        dropout: dropout rate of vectors and attention weights.
    """

    module: ClassVar[str] = "components.models.vit"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "inner")
    width_divisors: ClassVar[tuple[str, ...]] = ("heads",)

    family: Literal["transformer"]
    name: Literal["vit"]
    patch: int = Field(default=4, ge=1, le=64)
    depth: int = Field(default=6, ge=1, le=96)
    width: int = Field(default=192, ge=2, le=8192)
    heads: int = Field(default=3, ge=1, le=128)
    inner: int | None = Field(default=None, ge=1, le=65536)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self
