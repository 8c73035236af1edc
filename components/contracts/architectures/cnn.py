"""Convolutional networks."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class TextbookCnnSpec(ArchitectureSpec):
    """Blocks of convolution, batch normalisation, ReLU and pooling, then dropout before one dense layer.

    Keras' form of the textbooks is `order: activation-norm`, `padding: valid`, `bias: true`, `flatten_dropout: 0`,
    `norm_momentum: 0.01`, `norm_epsilon: 0.001`, `initialisation: glorot`.

    Args:
        depth: number of blocks; each halves height and width, the width doubles from block to block.
        width: channels of the first block.
        convolutions: convolutions of each block, before its pooling.
        dropout: dropout rate before the dense layer.
        hidden: size of a dense layer between the features and the output, or null for none.
        padding: `same` keeps the size in a convolution; `valid` takes two pixels of height and width.
        order: of batch normalisation and ReLU after a convolution.
        bias: whether convolutions have a bias; needed before ReLU, without effect before batch normalisation.
        flatten_dropout: dropout rate before the hidden layer; null: as `dropout`.
        norm_momentum: share of a batch in the running statistics of the normalisation; Keras' momentum m is 1 - m here.
        norm_epsilon: added to the variance in the normalisation.
        initialisation: `torch`, of uniform weights; `glorot`, Keras' (components/models/initialisation.py).
    """

    module: ClassVar[str] = "components.models.textbook_cnn"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "hidden")

    family: Literal["cnn"]
    name: Literal["textbook"]
    depth: int = Field(default=2, ge=1, le=8)
    width: int = Field(default=32, ge=1, le=1024)
    convolutions: int = Field(default=2, ge=1, le=4)
    dropout: float = Field(default=0.25, ge=0, lt=1)
    hidden: int | None = Field(default=None, ge=1, le=8192)
    padding: Literal["same", "valid"] = Field(default="same", exclude_if=lambda value: value == "same")
    order: Literal["norm-activation", "activation-norm"] = Field(
        default="norm-activation", exclude_if=lambda value: value == "norm-activation"
    )
    bias: bool = Field(default=False, exclude_if=lambda value: value is False)
    flatten_dropout: float | None = Field(default=None, ge=0, lt=1, exclude_if=lambda value: value is None)
    norm_momentum: float = Field(default=0.1, gt=0, le=1, exclude_if=lambda value: value == 0.1)
    norm_epsilon: float = Field(default=1e-5, gt=0, le=1, exclude_if=lambda value: value == 1e-5)
    initialisation: Literal["torch", "glorot"] = Field(default="torch", exclude_if=lambda value: value == "torch")

    @model_validator(mode="after")
    def _flatten_dropout_has_a_place(self) -> Self:
        if self.flatten_dropout is not None and self.hidden is None:
            raise ValueError("flatten_dropout is before the hidden layer: give hidden, or set dropout alone")
        return self


class ResNetSpec(ArchitectureSpec):
    """A residual network in the CIFAR form (He et al. 2015, arXiv:1512.03385, section 4.2).

    Args:
        depth: 6n+2 layers: 8, 14, 20, 32, 44, 56, 110.
        width: channels of the first of the three stages; they double from stage to stage.
        dropout: dropout rate before the dense layer.
    """

    module: ClassVar[str] = "components.models.resnet"
    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["cnn"]
    name: Literal["resnet"]
    depth: int = Field(default=20, ge=8, le=1202)
    width: int = Field(default=16, ge=1, le=1024)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _depth_fits(self) -> Self:
        if (self.depth - 2) % 6:
            near = max(8, round((self.depth - 2) / 6) * 6 + 2)
            raise ValueError(f"depth of a resnet is 6n+2; the nearest is {near}")
        return self
