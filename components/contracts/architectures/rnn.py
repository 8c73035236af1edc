"""Recurrent networks."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from components.contracts.architectures.architecture import ArchitectureSpec


class RecurrentSpec(ArchitectureSpec):
    """Layers of a recurrent cell over a text or a series.

    `rnn` is the plain cell (Elman 1990, doi:10.1207/s15516709cog1402_1), `lstm` has a memory cell (Hochreiter and
    Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735), `gru` has two gates (Cho et al. 2014, arXiv:1406.1078).

    Args:
        depth: number of stacked layers.
        width: of the state, in each direction.
        embedding: size of a token's vector; not used for series.
        bidirectional: whether a second cell reads from the end (Schuster and Paliwal 1997, doi:10.1109/78.650093).
        dropout: dropout rate of the embedding, between layers and before the head.
        pooling: how the states become one vector: the last state, mean, maximum of each feature, or attention.
        instance_norm: for forecasts: whether each series is normalised by its own mean and standard deviation, and the
            forecast is denormalised (RevIN; see `patchtst`).
        activation: of the plain cell; `relu` as in Le et al. 2015, arXiv:1504.00941.
        biases: bias vectors of a cell: 2 as in cuDNN and torch, 1 as in Keras and the papers; a gru has 2.
        initialisation: `torch`, of uniform weights; `glorot`, Keras', with orthogonal recurrent weights
            (components/models/initialisation.py).
    """

    module: ClassVar[str] = "components.models.recurrent"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens", "series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes", "forecast", "value"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "embedding")

    family: Literal["rnn"]
    name: Literal["rnn", "lstm", "gru"]
    depth: int = Field(default=1, ge=1, le=32)
    width: int = Field(default=128, ge=1, le=8192)
    embedding: int = Field(default=128, ge=1, le=8192)
    bidirectional: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    pooling: Literal["last", "mean", "max", "attention"] = "last"
    instance_norm: bool = True
    activation: Literal["tanh", "relu"] = Field(default="tanh", exclude_if=lambda value: value == "tanh")
    biases: Literal[1, 2] = Field(default=2, exclude_if=lambda value: value == 2)
    initialisation: Literal["torch", "glorot"] = Field(default="torch", exclude_if=lambda value: value == "torch")

    @model_validator(mode="after")
    def _cell_has_it(self) -> Self:
        if self.activation != "tanh" and self.name != "rnn":
            raise ValueError(f"activation is of the plain cell, rnn; the gates of a {self.name} are fixed")
        if self.biases == 1 and self.name == "gru":
            raise ValueError("a gru has 2 biases: its reset gate acts between them")
        return self


class Seq2SeqGruSpec(ArchitectureSpec):
    """Translation by a bidirectional GRU encoder and a GRU decoder with additive attention.

    Bahdanau et al. 2015, arXiv:1409.0473.

    Args:
        depth: layers of the encoder; the decoder has one, as in the paper.
        width: of the state, in each direction of the encoder and in the decoder.
        embedding: size of a token's vector.
        dropout: dropout rate of embeddings, between the encoder's layers and before the output.
        shared: whether source and target have one vocabulary and share their embedding.
        tied: whether the output layer uses the matrix of the target embedding.
    """

    module: ClassVar[str] = "components.models.seq2seq_gru"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"text"})
    scaled_fields: ClassVar[tuple[str, ...]] = ("width", "embedding")

    family: Literal["rnn"]
    name: Literal["seq2seq-gru"]
    depth: int = Field(default=1, ge=1, le=16)
    width: int = Field(default=256, ge=1, le=8192)
    embedding: int = Field(default=256, ge=1, le=8192)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    shared: bool = False
    tied: bool = True
