"""Networks for texts alone; recurrent ones and Transformers for texts stand with their families."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class KimSpec(ArchitectureSpec):
    """Convolutions of several widths over the words, the largest of each over the text: Kim 2014, arXiv:1408.5882.

    The paper's limit on the norm of the output's weights is left out; the optimizer's weight decay stands for it.

    Args:
        embedding: of a token.
        windows: how many tokens a filter sees, one group of filters each.
        filters: number of filters of each group.
        dropout: share dropped before the dense layer.
    """

    module: ClassVar[str] = "components.models.kim"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes"})

    family: Literal["cnn"]
    name: Literal["kim"]
    embedding: int = Field(default=128, ge=1, le=8192)
    windows: list[int] = Field(default=[3, 4, 5], min_length=1, max_length=16)
    filters: int = Field(default=100, ge=1, le=8192)
    dropout: float = Field(default=0.5, ge=0, lt=1)


class BertSpec(ArchitectureSpec):
    """An encoder of transformers' BERT type (Devlin et al. 2019, arXiv:1810.04805), of given sizes or as a model says.

    Args:
        config: whose config.json gives kind and sizes: `package:<python package>`, `folder:<path>`, or `hub:<name>`
            (from MODELYARD_MIRROR, else the cache, else fetched). Null: as `pretrained`, if that is one of these, else
            as the fields below.
        kind: which of transformers' encoders.
        depth: number of layers.
        width: of every vector between the layers.
        heads: of the attention; they divide the width.
        inner: width inside the feed-forward.
        positions: as many places as there are vectors for.
        dropout: share dropped inside the encoder and before the head.
        pooling: how the tokens become one vector: their mean, the `first` ([CLS]), or weighted by attention.
    """

    module: ClassVar[str] = "components.models.bert"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes"})

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
        """Whose config.json says kind and sizes, or None where the fields do."""
        if self.config is None and self.pretrained is not None and self.pretrained.startswith(("package:", "hub:")):
            return self.pretrained
        return self.config

    @model_validator(mode="after")
    def _sizes_are_said_once(self) -> Self:
        sizes = {"kind", "depth", "width", "heads", "inner", "positions"} & self.model_fields_set
        defaults = type(self).model_fields  # a spec that was written out says them all
        said = sorted(name for name in sizes if getattr(self, name) != defaults[name].default)
        if said and self.config_source is not None:
            raise ValueError(f"{', '.join(said)}: the sizes are those of {self.config_source}; leave them out")
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class MambaSpec(ArchitectureSpec):
    """A selective state space model, from transformers: Gu and Dao 2023, arXiv:2312.00752.

    Without the kernels for GPUs (`mamba-ssm`, `causal-conv1d`) it goes step by step, and is slow to train.

    Args:
        depth: number of layers.
        width: of every vector between the layers.
        state: numbers that each channel remembers.
        expand: channels inside a layer, as a multiple of the width.
        window: steps that the convolution before the state sees.
        dropout: share dropped before the head of a classifier.
        pooling: for classes, how the tokens become one vector: the `last`, their mean, and so on.
    """

    module: ClassVar[str] = "components.models.mamba"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "next-token"})

    family: Literal["state-space"]
    name: Literal["mamba"]
    depth: int = Field(default=2, ge=1, le=96)
    width: int = Field(default=64, ge=1, le=8192)
    state: int = Field(default=8, ge=1, le=256)
    expand: int = Field(default=2, ge=1, le=8)
    window: int = Field(default=4, ge=1, le=16)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    pooling: Literal["last", "mean", "max", "attention"] = "mean"
