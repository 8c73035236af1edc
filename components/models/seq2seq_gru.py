"""Translation by two recurrent networks and attention: Bahdanau et al. 2015, arXiv:1409.0473.

Legend: N batch, S source length, T target length, E embedding, D width, V target vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.contracts.architectures.rnn import Seq2SeqGruSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models.attentive_gru import AttentiveGru
from components.models.embedding import TokenEmbedding
from components.models.recurrent_layers import RecurrentLayers


def build(spec: Seq2SeqGruSpec, given: TokensInput, wanted: TextOutput) -> Seq2SeqGru:
    """Texts to texts.

    Raises:
        UsageError: a shared embedding is wanted for two vocabularies.
    """
    if spec.shared and (given.vocabulary, given.pad) != (wanted.vocabulary, wanted.pad):
        raise UsageError(
            "source and target are of two vocabularies",
            where="model.shared",
            got=f"{given.vocabulary} and {wanted.vocabulary} tokens",
            next_step="set model.shared: false, or give the dataset one tokenizer for both",
        )
    return Seq2SeqGru(spec, given, wanted)


class Seq2SeqGru(nn.Module):
    """A GRU in both directions over the source; one over the target that looks at its states before every token.

    Args:
        spec: depth, width and so on.
        given: the source.
        wanted: the target.
    """

    head_names: Sequence[str] = ("readout", "head")

    def __init__(self, spec: Seq2SeqGruSpec, given: TokensInput, wanted: TextOutput) -> None:
        super().__init__()
        self.width = spec.width
        self.target_embedding = TokenEmbedding(wanted.vocabulary, spec.embedding, wanted.pad)
        self.source_embedding = None if spec.shared else TokenEmbedding(given.vocabulary, spec.embedding, given.pad)
        self.dropout = nn.Dropout(spec.dropout)
        self.encoder = RecurrentLayers(
            "gru", spec.embedding, spec.width, spec.depth, bidirectional=True, dropout=spec.dropout
        )
        self.first = nn.Linear(spec.width, spec.width)
        self.decoder = AttentiveGru(spec.embedding, spec.width, 2 * spec.width)
        self.readout = nn.Linear(spec.width + spec.embedding + 2 * spec.width, spec.embedding)
        self.head = None if spec.tied else nn.Linear(spec.embedding, wanted.vocabulary)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Source (N, S), lengths (N,), target so far (N, T) to logits of the token after each (N, T, V)."""
        memory = self.encode(source, source_lengths)  # (N, S, 2D)
        steps = self.dropout(self.target_embedding(target))  # (N, T, E)
        states, contexts = self.decoder(steps, self._state(memory), memory, source_lengths)  # (N, T, D), (N, T, 2D)
        return self._logits(states, steps, contexts)

    def encode(self, source: Tensor, source_lengths: Tensor) -> Tensor:
        """Source (N, S), lengths (N,) to memory (N, S, 2D)."""
        embedding = self.target_embedding if self.source_embedding is None else self.source_embedding
        memory: Tensor
        memory, _ = self.encoder(self.dropout(embedding(source)), source_lengths)  # (N, S, 2D)
        return memory

    def decode(self, memory: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Memory (N, S, 2D), lengths (N,), target so far (N, T) to logits of the token after the last (N, V)."""
        steps = self.dropout(self.target_embedding(target))  # (N, T, E)
        state, context = self.decoder.last(steps, self._state(memory), memory, source_lengths)  # (N, D), (N, 2D)
        return self._logits(state, steps[:, -1], context)

    def _state(self, memory: Tensor) -> Tensor:
        """The first state (N, D): from the encoder's that has read the source from its end to its start."""
        return torch.tanh(self.first(memory[:, 0, self.width :]))

    def _logits(self, states: Tensor, steps: Tensor, contexts: Tensor) -> Tensor:
        """(..., D), (..., E), (..., 2D) to (..., V)."""
        read = torch.tanh(self.readout(torch.cat([states, steps, contexts], dim=-1)))  # (..., E)
        read = self.dropout(read)
        logits: Tensor = self.target_embedding.logits(read) if self.head is None else self.head(read)
        return logits
