"""A causal language model: the decoder of arXiv:1706.03762 without its memory, as in GPT (Radford et al. 2018).

Legend: N batch, T length, P earlier tokens, h heads, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from components.contracts.architectures.transformer import DecoderSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.models import masks
from components.models.embedding import TokenEmbedding
from components.models.incremental import PAST, StateSpec, causal_bias, last_positions
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
        self.width, self.heads, self.max_length = config.width, config.heads, input_spec.max_length
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
        return self._logits(self.norm(features))

    def states(self) -> list[StateSpec]:
        """The real ones of the tokens so far, and keys and values of each layer."""
        heads, width = self.heads, self.width // self.heads
        caches = [
            StateSpec(f"{kind}_{layer}", (heads, PAST, width))
            for layer in range(len(self.layers))
            for kind in ("key", "value")
        ]
        return [StateSpec("mask", (PAST,), "bool"), *caches]

    def extend(
        self, tokens: Tensor, lengths: Tensor, last_only: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalDecoder`; the state is (N, P), then (N, h, P, D / h) each."""
        mask, count = state[0], tokens.shape[1]
        places = mask.sum(dim=1, keepdim=True) + torch.arange(count, device=tokens.device)  # (N, T)
        places = places.clamp(max=self.max_length - 1)  # padding may be beyond
        features = self.positions(self.embedding(tokens), places)  # (N, T, D)
        attention_bias = causal_bias(mask, count)  # (N, 1, T, P + T)
        following = [torch.cat([mask, masks.inside(lengths, count)], dim=1)]  # (N, P + T)
        for index, layer in enumerate(self.layers):
            features, key, value = layer.extend(features, attention_bias, *state[1 + 2 * index : 3 + 2 * index])
            following += [key, value]
        wanted = last_positions(lengths, count, last_only)[..., None].expand(-1, -1, self.width)
        return self._logits(self.norm(features.gather(1, wanted))), following

    def _logits(self, features: Tensor) -> Tensor:
        """(N, T, D) to (N, T, V)."""
        logits: Tensor = self.embedding.logits(features) if self.head is None else self.head(features)
        return logits
