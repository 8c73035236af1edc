"""Encoder and decoder for translation: Vaswani et al. 2017, arXiv:1706.03762.

Legend: N batch, S source length, T target length, D width, V target vocabulary, P earlier tokens of the target,
h heads, R hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from components.contracts.architectures.transformer import Seq2SeqTransformerSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models import masks
from components.models.embedding import TokenEmbedding
from components.models.incremental import PAST, SOURCE, StateSpec, bias, causal, dense
from components.models.positions import positions
from components.models.transformer_layers import DecoderLayer, EncoderLayer


def build(config: Seq2SeqTransformerSpec, input_spec: TokensInput, output_spec: TextOutput) -> Seq2SeqTransformer:
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
    return Seq2SeqTransformer(config, input_spec, output_spec)


class Seq2SeqTransformer(nn.Module):
    """An encoder over the source, and a decoder over the target with attention to the encoder's output.

    Args:
        config: sizes.
        input_spec: the source, at most `max_length` tokens.
        output_spec: the target, at most `max_length` tokens.
    """

    head_names: Sequence[str] = ("decoder_norm", "head")

    def __init__(self, config: Seq2SeqTransformerSpec, input_spec: TokensInput, output_spec: TextOutput) -> None:
        super().__init__()
        self.width, self.heads = config.width, config.heads
        scaled = config.positions == "sinusoidal"
        self.target_embedding = TokenEmbedding(output_spec.vocabulary, config.width, output_spec.pad, scaled=scaled)
        self.source_embedding = (
            None
            if config.shared
            else TokenEmbedding(input_spec.vocabulary, config.width, input_spec.pad, scaled=scaled)
        )
        self.source_positions = positions(config.positions, input_spec.max_length, config.width)
        self.target_positions = positions(config.positions, output_spec.max_length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.width, config.heads, config.feed_forward, config.dropout, config.norm)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(config.depth))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(config.decoder_depth or config.depth))
        self.encoder_norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.head = None if config.tied else nn.Linear(config.width, output_spec.vocabulary, bias=False)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Source (N, S), lengths (N,), target so far (N, T) to logits of the token after each (N, T, V)."""
        return self._logits(self._decoded(self.encode(source, source_lengths), source_lengths, target))

    def encode(self, source: Tensor, source_lengths: Tensor) -> Tensor:
        """Source (N, S), lengths (N,) to memory (N, S, D)."""
        embedding = self.target_embedding if self.source_embedding is None else self.source_embedding
        memory: Tensor = self.dropout(self.source_positions(embedding(source)))  # (N, S, D)
        mask = masks.keys(source_lengths, source.shape[1])  # (N, 1, 1, S)
        for layer in self.encoder:
            memory = layer(memory, mask)  # (N, S, D)
        memory = self.encoder_norm(memory)  # (N, S, D)
        return memory

    def decode(self, memory: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Memory (N, S, D), lengths (N,), target so far (N, T) to logits of the token after the last (N, V)."""
        return self._logits(self._decoded(memory, source_lengths, target)[:, -1])

    def states(self) -> list[StateSpec]:
        """Keys and values of the self-attention of each layer."""
        return self._caches("", PAST)

    def memories(self) -> list[StateSpec]:
        """The bias of the source (0, or `HIDDEN` of padding), and keys and values of each layer's attention to it."""
        return [StateSpec("cross_bias", (1, 1, SOURCE)), *self._caches("cross_", SOURCE)]

    def remember(self, source: Tensor, source_lengths: Tensor) -> list[Tensor]:
        """See `IncrementalTranslator`: (N, 1, 1, S), then (N, h, S, D / h) each."""
        memory = self.encode(source, source_lengths)  # (N, S, D)
        caches = [part for layer in self.decoder for part in cast(DecoderLayer, layer).cross_attention.project(memory)]
        return [bias(masks.keys(source_lengths, source.shape[1])), *caches]

    def extend(self, target: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalTranslator`; the state is (R, h, P, D / h) each."""
        before, sizes = state[0].shape[2], (target.shape[0], target.shape[1])
        memory_bias, sources = memory[0], memory[0].shape[0]
        places = before + torch.arange(sizes[1], device=target.device)[None]  # (1, T)
        features = self.target_positions(self.target_embedding(target), places).view(-1, self.width)  # (R * T, D)
        attention_bias = bias(causal(before, sizes[1]))  # (T, P + T); targets have no padding
        following: list[Tensor] = []
        for index, layer in enumerate(cast(Sequence[DecoderLayer], self.decoder)):
            caches, own = memory[1 + 2 * index : 3 + 2 * index], state[2 * index : 2 * index + 2]
            features, key, value = layer.extend(features, sizes, sources, attention_bias, memory_bias, caches, *own)
            following += [key, value]
        last = self.decoder_norm(features.view(*sizes, self.width)[:, -1])  # (R, D)
        weight = self.target_embedding.table.weight if self.head is None else self.head.weight  # (V, D)
        return dense(last, weight), following

    def _caches(self, prefix: str, free: str) -> list[StateSpec]:
        shape = (self.heads, free, self.width // self.heads)
        names = [f"{prefix}{kind}_{layer}" for layer in range(len(self.decoder)) for kind in ("key", "value")]
        return [StateSpec(name, shape) for name in names]

    def _decoded(self, memory: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """(N, T, D)"""
        features: Tensor = self.dropout(self.target_positions(self.target_embedding(target)))  # (N, T, D)
        causal = masks.causal(target.shape[1], target.device)  # (T, T)
        mask = masks.keys(source_lengths, memory.shape[1])  # (N, 1, 1, S)
        for layer in self.decoder:
            features = layer(features, memory, causal, mask)  # (N, T, D)
        features = self.decoder_norm(features)  # (N, T, D)
        return features

    def _logits(self, features: Tensor) -> Tensor:
        """(..., D) to (..., V)."""
        logits: Tensor = self.target_embedding.logits(features) if self.head is None else self.head(features)
        return logits
