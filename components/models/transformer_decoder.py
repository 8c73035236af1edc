"""A causal language model: the decoder of arXiv:1706.03762 without its memory, as in GPT (Radford et al. 2018).

Legend: N batch, T length, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from components.contracts.architectures.transformer import DecoderSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.models import masks
from components.models.embedding import TokenEmbedding
from components.models.positions import positions
from components.models.transformer_layers import EncoderLayer


def build(config: DecoderSpec, input_spec: TokensInput, output_spec: NextTokenOutput) -> TransformerDecoder:
    """A language model over the vocabulary of the input."""
    return TransformerDecoder(config, input_spec)


class TransformerDecoder(nn.Module):
    """Vectors with positions, layers of causal self-attention, a dense layer over the vocabulary.

    Args:
        config: sizes.
        input_spec: texts of at most `max_length` tokens.
    """

    head_names: Sequence[str] = ("norm", "head")

    def __init__(self, config: DecoderSpec, input_spec: TokensInput) -> None:
        super().__init__()
        scaled = config.positions == "sinusoidal"
        self.embedding = TokenEmbedding(input_spec.vocabulary, config.width, input_spec.pad, scaled=scaled)
        self.positions = positions(config.positions, input_spec.max_length, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout, config.norm, "gelu")
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width) if config.norm == "pre" else nn.Identity()
        self.head = None if config.tied else nn.Linear(config.width, input_spec.vocabulary, bias=False)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, T, V). Lengths are unused: real tokens never attend to padding."""
        features = self.dropout(self.positions(self.embedding(tokens)))  # (N, T, D)
        mask = masks.causal(tokens.shape[1], tokens.device)  # (T, T)
        for layer in self.layers:
            features = layer(features, mask)  # (N, T, D)
        features = self.norm(features)  # (N, T, D)
        logits: Tensor = self.embedding.logits(features) if self.head is None else self.head(features)  # (N, T, V)
        return logits
