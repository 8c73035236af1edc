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


def build(spec: DecoderSpec, given: TokensInput, wanted: NextTokenOutput) -> TransformerDecoder:
    """A language model over the vocabulary that it is given."""
    return TransformerDecoder(spec, given)


class TransformerDecoder(nn.Module):
    """Vectors with positions, layers of causal self-attention, a dense layer over the vocabulary.

    Args:
        spec: depth, width and so on.
        given: texts of at most `longest` tokens.
    """

    head_names: Sequence[str] = ("norm", "head")

    def __init__(self, spec: DecoderSpec, given: TokensInput) -> None:
        super().__init__()
        scaled = spec.positions == "sinusoidal"
        self.embedding = TokenEmbedding(given.vocabulary, spec.width, given.pad, scaled=scaled)
        self.positions = positions(spec.positions, given.longest, spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(spec.width, spec.heads, spec.feed_forward, spec.dropout, spec.norm, "gelu")
            for _ in range(spec.depth)
        )
        self.norm = nn.LayerNorm(spec.width) if spec.norm == "pre" else nn.Identity()
        self.head = None if spec.tied else nn.Linear(spec.width, given.vocabulary, bias=False)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, T, V). What is real sees no padding, so lengths change nothing."""
        features = self.dropout(self.positions(self.embedding(tokens)))  # (N, T, D)
        mask = masks.causal(tokens.shape[1], tokens.device)  # (T, T)
        for layer in self.layers:
            features = layer(features, mask)  # (N, T, D)
        features = self.norm(features)  # (N, T, D)
        logits: Tensor = self.embedding.logits(features) if self.head is None else self.head(features)  # (N, T, V)
        return logits
