"""Networks for rows of a table."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.transformer import TransformerSpec


class MlpSpec(ArchitectureSpec):
    """Dense layers over numbers and embedded categories; `residual: true` is the ResNet of Gorishniy et al. 2021,
    arXiv:2106.11959, section 3.2.

    Args:
        depth: number of blocks.
        width: size of each block.
        dropout: dropout rate of each block.
        residual: whether each block of two dense layers is added to its input.
        normalisation: over the `batch`, over each vector (`layer`), or `none`.
        numbers: how a number becomes an input of the dense layers: `plain`, as it is; or `periodic`, through sines and
            cosines of learned frequencies, a dense layer of its own and ReLU (PLR, Gorishniy et al. 2022,
            arXiv:2203.05556).
        frequencies, frequency_scale: of `periodic`: their number for each column, and the standard deviation of their
            initial values.
        embedding: size of the vector of a periodic number, and largest size of that of a category.
    """

    module: ClassVar[str] = "components.models.mlp"
    takes: ClassVar[frozenset[str]] = frozenset({"table"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["mlp"]
    name: Literal["mlp"]
    depth: int = Field(default=2, ge=1, le=32)
    width: int = Field(default=256, ge=1, le=8192)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    residual: bool = False
    normalisation: Literal["batch", "layer", "none"] = "batch"
    numbers: Literal["plain", "periodic"] = "periodic"
    frequencies: int = Field(default=16, ge=1, le=1024)
    frequency_scale: float = Field(default=0.1, gt=0, le=100)
    embedding: int = Field(default=16, ge=1, le=1024)


class FtTransformerSpec(TransformerSpec):
    """A Transformer over a token for each column, with the answer from a token of its own: Gorishniy et al. 2021,
    arXiv:2106.11959, section 3.3; with GELU in place of ReGLU.

    Args:
        inner: width inside the feed-forward; null for 8/3 of the width, which has the size of the paper's ReGLU of 4/3.
    """

    module: ClassVar[str] = "components.models.ft_transformer"
    takes: ClassVar[frozenset[str]] = frozenset({"table"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})

    name: Literal["ft-transformer"]
    depth: int = Field(default=3, ge=1, le=96)
    width: int = Field(default=192, ge=2, le=8192)
    heads: int = Field(default=8, ge=1, le=128)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def feed_forward(self) -> int:
        """Width inside the feed-forward."""
        return self.inner or max(1, 8 * self.width // 3)
