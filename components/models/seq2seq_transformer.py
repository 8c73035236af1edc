"""Encoder and decoder for translation: Vaswani et al. 2017, arXiv:1706.03762.

Legend: N batch, S source length, T target length, D width, V target vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from components.contracts.architectures.transformer import Seq2SeqTransformerSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models import masks
from components.models.embedding import TokenEmbedding
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
