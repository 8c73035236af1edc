"""Networks for series: log-mel frames of sounds, sensors, forecasts. Recurrent networks are in rnn.py."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.transformer import TransformerSpec


class SeriesCnnSpec(ArchitectureSpec):
    """A convolutional network along time (Wang et al. 2017, arXiv:1611.06455, with pooling between its blocks).

    Args:
        depth: number of blocks of convolution, batch normalisation and ReLU; each halves the length.
        width: channels of the first block; they double from block to block, up to eight times.
        window: steps of a filter; odd.
        dropout: dropout rate before the dense layer.
        pooling: how the steps become one vector.
    """

    module: ClassVar[str] = "components.models.series_cnn"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["cnn"]
    name: Literal["series-cnn"]
    depth: int = Field(default=3, ge=1, le=12)
    width: int = Field(default=32, ge=1, le=1024)
    window: int = Field(default=5, ge=1, le=255)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    pooling: Literal["mean", "max", "attention"] = "mean"

    @model_validator(mode="after")
    def _window_has_a_middle(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window is odd; the nearest is {self.window + 1}")
        return self


class SpectrogramCnnSpec(ArchitectureSpec):
    """A convolutional network over time and frequency, for log-mel frames (Hershey et al. 2017, arXiv:1609.09430).

    Args:
        depth: number of blocks; each halves time and frequency, the width doubles from block to block.
        width: channels of the first block.
        convolutions: convolutions of each block, before its pooling.
        dropout: dropout rate before the dense layer.
        pooling: how the frames become one vector; frequencies are not pooled.
    """

    module: ClassVar[str] = "components.models.spectrogram_cnn"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["cnn"]
    name: Literal["spectrogram-cnn"]
    depth: int = Field(default=3, ge=1, le=8)
    width: int = Field(default=16, ge=1, le=1024)
    convolutions: int = Field(default=2, ge=1, le=4)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    pooling: Literal["mean", "max", "attention"] = "mean"


class PatchTstSpec(TransformerSpec):
    """A Transformer over patches of each channel separately: Nie et al. 2023, arXiv:2211.14730.

    The defaults are the authors' settings for ETTh1.

    Args:
        patch: steps of a patch.
        stride: steps from one patch to the next.
        norm: normalisation `post` after each sublayer, as in the authors' code, or `pre` before it.
        normalisation: over the `batch`, as in the paper, or over each vector (`layer`).
        head_dropout: dropout rate before the last layer.
        instance_norm: whether each series is normalised by its own mean and standard deviation, and the forecast is
            denormalised (RevIN).
    """

    module: ClassVar[str] = "components.models.patchtst"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"forecast"})

    name: Literal["patchtst"]
    depth: int = Field(default=3, ge=1, le=96)
    width: int = Field(default=16, ge=2, le=8192)
    heads: int = Field(default=4, ge=1, le=128)
    inner: int | None = Field(default=128, ge=1, le=65536)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    patch: int = Field(default=16, ge=1, le=4096)
    stride: int = Field(default=8, ge=1, le=4096)
    norm: Literal["pre", "post"] = "post"
    normalisation: Literal["batch", "layer"] = "batch"
    head_dropout: float = Field(default=0.0, ge=0, lt=1)
    instance_norm: bool = True


class DLinearSpec(ArchitectureSpec):
    """One linear layer from the past to the future for the trend, and one for the remainder: Zeng et al. 2023,
    arXiv:2205.13504.

    Args:
        window: steps of the moving average that is the trend; odd.
        individual: whether every channel has layers of its own.
        instance_norm: as of `patchtst` (RevIN); not in the paper.
    """

    module: ClassVar[str] = "components.models.dlinear"
    takes: ClassVar[frozenset[str]] = frozenset({"series"})
    gives: ClassVar[frozenset[str]] = frozenset({"forecast"})

    family: Literal["linear"]
    name: Literal["dlinear"]
    window: int = Field(default=25, ge=1, le=4095)
    individual: bool = False
    instance_norm: bool = False

    @model_validator(mode="after")
    def _window_has_a_middle(self) -> Self:
        if self.window % 2 == 0:
            raise ValueError(f"window is odd; the nearest is {self.window + 1}")
        return self
