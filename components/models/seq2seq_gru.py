"""Translation by a GRU encoder and a GRU decoder with attention: Bahdanau et al. 2015, arXiv:1409.0473.

Legend: N batch, S source length, T target length, E embedding, D width, V target vocabulary, R hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.contracts.architectures.rnn import Seq2SeqGruSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models import masks
from components.models.attentive_gru import AttentiveGru
from components.models.embedding import TokenEmbedding
from components.models.incremental import SOURCE, StateSpec
from components.models.recurrent_layers import RecurrentLayers


def build(config: Seq2SeqGruSpec, input_spec: TokensInput, output_spec: TextOutput) -> Seq2SeqGru:
    """A network from texts to texts.

    Raises:
        UsageError: a shared embedding for two vocabularies.
    """
    if config.shared and (input_spec.vocabulary, input_spec.pad) != (output_spec.vocabulary, output_spec.pad):
        raise UsageError(
            "source and target have different vocabularies",
            where="model.shared",
            got=f"{input_spec.vocabulary} and {output_spec.vocabulary} tokens",
            next_step="set model.shared: false, or give the dataset one tokenizer for both",
        )
    return Seq2SeqGru(config, input_spec, output_spec)


class Seq2SeqGru(nn.Module):
    """A bidirectional GRU over the source; a GRU over the target with attention to the states of the source.

    Args:
        config: sizes.
        input_spec: the source.
        output_spec: the target.
    """

    head_names: Sequence[str] = ("readout", "head")

    def __init__(self, config: Seq2SeqGruSpec, input_spec: TokensInput, output_spec: TextOutput) -> None:
        super().__init__()
        self.width = config.width
        self.target_embedding = TokenEmbedding(output_spec.vocabulary, config.embedding, output_spec.pad)
        self.source_embedding = (
            None if config.shared else TokenEmbedding(input_spec.vocabulary, config.embedding, input_spec.pad)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = RecurrentLayers(
            "gru", config.embedding, config.width, config.depth, bidirectional=True, dropout=config.dropout
        )
        self.first = nn.Linear(config.width, config.width)
        self.decoder = AttentiveGru(config.embedding, config.width, 2 * config.width)
        self.readout = nn.Linear(config.width + config.embedding + 2 * config.width, config.embedding)
        self.head = None if config.tied else nn.Linear(config.embedding, output_spec.vocabulary)

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

    def states(self) -> list[StateSpec]:
        """The state of the decoder."""
        return [StateSpec("state", (self.width,))]

    def memories(self) -> list[StateSpec]:
        """The states of the source, the keys of the attention to them, which are real; the decoder's first state."""
        memory, keys = StateSpec("memory", (SOURCE, 2 * self.width)), StateSpec("keys", (SOURCE, self.width))
        return [memory, keys, StateSpec("inside", (SOURCE,), "bool"), *self.states()]

    def remember(self, source: Tensor, source_lengths: Tensor) -> list[Tensor]:
        """See `IncrementalTranslator`: (N, S, 2D), (N, S, D), bool (N, S) and (N, D)."""
        memory = self.encode(source, source_lengths)  # (N, S, 2D)
        inside = masks.inside(source_lengths, source.shape[1])
        return [memory, self.decoder.key(memory), inside, self._state(memory)]

    def extend(self, target: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalTranslator`; the state is (R, D)."""
        steps = self.target_embedding(target)  # (R, T, E)
        values, keys, inside = memory
        following, context = self.decoder.extend(steps, state[0], (values, keys, inside))  # (R, D), (R, 2D)
        return self._logits(following, steps[:, -1], context), [following]

    def _state(self, memory: Tensor) -> Tensor:
        """The first state (N, D): from the last state of the encoder's backward cell."""
        return torch.tanh(self.first(memory[:, 0, self.width :]))

    def _logits(self, states: Tensor, steps: Tensor, contexts: Tensor) -> Tensor:
        """(..., D), (..., E), (..., 2D) to (..., V)."""
        read = torch.tanh(self.readout(torch.cat([states, steps, contexts], dim=-1)))  # (..., E)
        read = self.dropout(read)
        logits: Tensor = self.target_embedding.logits(read) if self.head is None else self.head(read)
        return logits
