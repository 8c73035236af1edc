"""Networks for texts only; further networks for texts are in rnn.py and transformer.py."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class KimSpec(ArchitectureSpec):
    """Convolutions of several widths over the tokens, with max pooling over the text: Kim 2014, arXiv:1408.5882.

    The optimizer's weight decay replaces the paper's limit on the norm of the output weights.

    Args:
        embedding: size of a token's vector.
        windows: tokens of a filter, for each group of filters.
        filters: number of filters of each group.
        dropout: dropout rate before the dense layer.
    """

    module: ClassVar[str] = "components.models.kim"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("filters", "embedding")

    family: Literal["cnn"]
    name: Literal["kim"]
    embedding: int = Field(default=128, ge=1, le=8192)
    windows: list[int] = Field(default=[3, 4, 5], min_length=1, max_length=16)
    filters: int = Field(default=100, ge=1, le=8192)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class BertSpec(ArchitectureSpec):
    """An encoder of the BERT type from transformers (Devlin et al. 2019, arXiv:1810.04805).

    Args:
        config: source of the config.json with kind and sizes: `package:<python package>`, `folder:<path>`, or
            `hub:<name>` (from MODELYARD_MIRROR, else the cache, else fetched). Null: `pretrained`, if it has such a
            source, else the fields below.
        kind: which encoder of transformers.
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward.
        positions: largest number of tokens.
        dropout: dropout rate inside the encoder and before the head.
        pooling: how the tokens become one vector: mean, maximum, `first` ([CLS]), or attention.
    """

    module: ClassVar[str] = "components.models.bert"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "inner")
    width_divisors: ClassVar[tuple[str, ...]] = ("heads",)

    family: Literal["transformer"]
    name: Literal["bert"]
    config: str | None = Field(default=None, pattern=r"^(package|folder|hub):\S.*$")
    kind: Literal["bert", "roberta", "electra", "distilbert", "albert", "mpnet"] = "bert"
    depth: int = Field(default=4, ge=1, le=96)
    width: int = Field(default=256, ge=2, le=8192)
    heads: int = Field(default=4, ge=1, le=128)
    inner: int = Field(default=1024, ge=1, le=65536)
    positions: int = Field(default=512, ge=4, le=65536)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pooling: Literal["mean", "max", "first", "attention"] = "mean"

    @property
    def config_source(self) -> str | None:
        """Source of the config.json with kind and sizes, or None if the fields of the spec give them."""
        if self.config is None and self.pretrained is not None and self.pretrained.startswith(("package:", "hub:")):
            return self.pretrained
        return self.config

    @model_validator(mode="after")
    def _sizes_are_said_once(self) -> Self:
        sizes = {"kind", "depth", "width", "heads", "inner", "positions"} & self.model_fields_set
        defaults = type(self).model_fields  # a spec that was dumped sets all of them
        changed = sorted(name for name in sizes if getattr(self, name) != defaults[name].default)
        if changed and self.config_source is not None:
            raise ValueError(f"{', '.join(changed)}: {self.config_source} gives the sizes; leave them out")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class MambaSpec(ArchitectureSpec):
    """A selective state space model, from transformers: Gu and Dao 2023, arXiv:2312.00752.

    Without the GPU kernels (`mamba-ssm`, `causal-conv1d`) the scan is a loop over the steps, and slow to train.

    Args:
        depth: number of layers.
        width: of every vector between the layers.
        state: size of each channel's state.
        expand: channels inside a layer, as a multiple of the width.
        window: steps of the convolution before the state.
        dropout: dropout rate before the head of a classifier.
        pooling: how the tokens become one vector, for classes: the `last` token, mean, maximum, or attention.
    """

    module: ClassVar[str] = "components.models.mamba"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "next-token", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width",)

    family: Literal["state-space"]
    name: Literal["mamba"]
    depth: int = Field(default=2, ge=1, le=96)
    width: int = Field(default=64, ge=1, le=8192)
    state: int = Field(default=8, ge=1, le=256)
    expand: int = Field(default=2, ge=1, le=8)
    window: int = Field(default=4, ge=1, le=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pooling: Literal["last", "mean", "max", "attention"] = "mean"
