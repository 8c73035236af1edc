"""Recurrent networks."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from components.contracts.architectures.architecture import ArchitectureSpec


class RecurrentSpec(ArchitectureSpec):
    """Layers of a recurrent cell over a text or a series.

    `rnn` is the textbook's (Elman 1990, doi:10.1207/s15516709cog1402_1), `lstm` remembers in a cell of its own
    (Hochreiter and Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735), `gru` has two gates (Cho et al. 2014,
    arXiv:1406.1078).

    Args:
        depth: number of layers, one on the other.
        width: of the state, in each direction.
        embedding: of a token; of no meaning for series.
        bidirectional: a second cell reads from the end (Schuster and Paliwal 1997, doi:10.1109/78.650093).
        dropout: share dropped of the embedding, between layers and before the head.
        pooling: what the head sees of the states: the last, their mean, the largest of each feature, or weighted by
            attention.
        instance_norm: for forecasts: each series has its own mean taken out and put back (RevIN; see `patchtst`).
    """

    module: ClassVar[str] = "components.models.recurrent"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens", "series"})
    gives: ClassVar[frozenset[str]] = frozenset({"classes", "token-classes", "forecast"})

    family: Literal["rnn"]
    name: Literal["rnn", "lstm", "gru"]
    depth: int = Field(default=1, ge=1, le=32)
    width: int = Field(default=128, ge=1, le=8192)
    embedding: int = Field(default=128, ge=1, le=8192)
    bidirectional: bool = False
    dropout: float = Field(default=0.2, ge=0, lt=1)
    pooling: Literal["last", "mean", "max", "attention"] = "last"
    instance_norm: bool = True


class Seq2SeqGruSpec(ArchitectureSpec):
    """Translation by a bidirectional GRU that reads and one that writes, looking back at what was read.

    Bahdanau et al. 2015, arXiv:1409.0473, with its additive attention.

    Args:
        depth: layers of the encoder; the decoder has one, as in the paper.
        width: of the state, in each direction of the encoder and in the decoder.
        embedding: of a token.
        dropout: share dropped of embeddings, between the encoder's layers and before the output.
        shared: source and target are of one vocabulary and share their embedding.
        tied: the output layer ends with the target embedding's own matrix.
    """

    module: ClassVar[str] = "components.models.seq2seq_gru"
    takes: ClassVar[frozenset[str]] = frozenset({"tokens"})
    gives: ClassVar[frozenset[str]] = frozenset({"text"})

    family: Literal["rnn"]
    name: Literal["seq2seq-gru"]
    depth: int = Field(default=1, ge=1, le=16)
    width: int = Field(default=256, ge=1, le=8192)
    embedding: int = Field(default=256, ge=1, le=8192)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    shared: bool = False
    tied: bool = True
