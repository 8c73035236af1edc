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


def build(spec: Seq2SeqTransformerSpec, given: TokensInput, wanted: TextOutput) -> Seq2SeqTransformer:
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
    return Seq2SeqTransformer(spec, given, wanted)


class Seq2SeqTransformer(nn.Module):
    """Layers of self-attention over the source; layers over the target that look at them too.

    Args:
        spec: depth, width and so on.
        given: the source, at most `longest` tokens.
        wanted: the target, at most `longest` tokens.
    """

    head_names: Sequence[str] = ("decoder_norm", "head")

    def __init__(self, spec: Seq2SeqTransformerSpec, given: TokensInput, wanted: TextOutput) -> None:
        super().__init__()
        scaled = spec.positions == "sinusoidal"
        self.target_embedding = TokenEmbedding(wanted.vocabulary, spec.width, wanted.pad, scaled=scaled)
        self.source_embedding = (
            None if spec.shared else TokenEmbedding(given.vocabulary, spec.width, given.pad, scaled=scaled)
        )
        self.source_positions = positions(spec.positions, given.longest, spec.width)
        self.target_positions = positions(spec.positions, wanted.longest, spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        sizes = (spec.width, spec.heads, spec.feed_forward, spec.dropout, spec.norm)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(spec.depth))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(spec.decoder_depth or spec.depth))
        self.encoder_norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        self.head = None if spec.tied else nn.Linear(spec.width, wanted.vocabulary, bias=False)

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
