"""Transformers of this package: Vaswani et al. 2017, arXiv:1706.03762."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class TransformerSpec(ArchitectureSpec):
    """Settings of all Transformers.

    Args:
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward; null for four times the width.
        dropout: dropout rate of the embeddings with positions, of attention weights and of every sublayer.
    """

    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "inner")
    width_divisors: ClassVar[tuple[str, ...]] = ("heads",)

    family: Literal["transformer"]
    depth: int = Field(default=2, ge=1, le=96)
    width: int = Field(default=128, ge=2, le=8192)
    heads: int = Field(default=4, ge=1, le=128)
    inner: int | None = Field(default=None, ge=1, le=65536)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self

    @property
    def feed_forward(self) -> int:
        """Width inside the feed-forward."""
        return self.inner or 4 * self.width


class EncoderSpec(TransformerSpec):
    """An encoder over a text or a series, for one class or for one class for each token.

    Args:
        norm: normalisation `pre` before each sublayer (arXiv:2002.04745; needs no warm-up), or `post` after it, as in
            the paper.
        positions: `sinusoidal` as in the paper, or one `learned` vector for each position.
        pooling: how the positions become one vector: mean, maximum of each feature, or attention.
        patch: steps of a series in one patch; 1 for texts.
    """

    module: ClassVar[str] = "components.models.transformer_encoder"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens", "series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes", "value"})

    name: Literal["encoder"]
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    pooling: Literal["mean", "max", "attention"] = "mean"
    patch: int = Field(default=1, ge=1, le=4096)


class DecoderSpec(TransformerSpec):
    """A causal language model: each token attends to the tokens before it and predicts the next (GPT, Radford et al.
    2018).

    Args:
        norm: normalisation `pre` before each sublayer, as in GPT-2, or `post` after it.
        positions: one `learned` vector for each position, or `sinusoidal`.
        tied: whether the output layer uses the matrix of the embedding (Press and Wolf 2017, arXiv:1608.05859).
    """

    module: ClassVar[str] = "components.models.transformer_decoder"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"next-token"})

    name: Literal["decoder"]
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned"] = "learned"
    tied: bool = True


class Seq2SeqTransformerSpec(TransformerSpec):
    """Encoder and decoder for translation, as in the paper.

    Args:
        depth: layers of the encoder.
        decoder_depth: layers of the decoder; null for as many as of the encoder.
        norm: normalisation `pre` before each sublayer, or `post` after it, as in the paper.
        positions: `sinusoidal` as in the paper, or `learned`.
        shared: whether source and target have one vocabulary and share their embedding.
        tied: whether the output layer uses the matrix of the target embedding (arXiv:1608.05859).
    """

    module: ClassVar[str] = "components.models.seq2seq_transformer"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"text"})

    name: Literal["seq2seq-transformer"]
    decoder_depth: int | None = Field(default=None, ge=1, le=96)
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    shared: bool = False
    tied: bool = True
