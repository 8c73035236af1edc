"""Transformers that are written here part by part: Vaswani et al. 2017, arXiv:1706.03762."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class TransformerSpec(ArchitectureSpec):
    """What all Transformers share.

    Args:
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward; null for four times the width.
        dropout: share dropped of the sums of vectors and positions, of attention weights and of every layer's parts.
    """

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
    """Layers of self-attention over a text or a series, then one vector for all or one a token.

    Args:
        norm: `pre` before each part (arXiv:2002.04745; learns without a warm-up), `post` after it, as in the paper.
        positions: `sinusoidal` as in the paper, or one `learned` vector a place.
        pooling: how the places become one vector: their mean, the largest of each feature, or weighted by attention.
        patch: steps of a series that become one vector; for texts it is 1.
    """

    module: ClassVar[str] = "components.models.transformer_encoder"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens", "series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes"})

    name: Literal["encoder"]
    norm: Literal["pre", "post"] = "pre"
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"
    pooling: Literal["mean", "max", "attention"] = "mean"
    patch: int = Field(default=1, ge=1, le=4096)


class DecoderSpec(TransformerSpec):
    """A causal language model: each token sees those before it and says which comes next (GPT, Radford et al. 2018).

    Args:
        norm: `pre` before each part, as in GPT-2, or `post` after it.
        positions: one `learned` vector a place, or `sinusoidal`.
        tied: the output layer is the embedding's own matrix (Press and Wolf 2017, arXiv:1608.05859).
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
        decoder_depth: layers of the decoder; null for as many as the encoder has.
        norm: `pre` before each part, or `post` after it, as in the paper.
        positions: `sinusoidal` as in the paper, or `learned`.
        shared: source and target are of one vocabulary and share their embedding.
        tied: the output layer is the target embedding's own matrix (arXiv:1608.05859).
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
