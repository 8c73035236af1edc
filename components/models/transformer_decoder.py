"""A causal language model: the decoder of arXiv:1706.03762 without its memory, as in GPT (Radford et al. 2018).

Legend: N batch, T length, P earlier tokens, h heads, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from components.contracts.architectures.transformer import DecoderSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.models import masks
from components.models.embedding import TokenEmbedding
from components.models.incremental import HIDDEN, PAST, StateSpec, bias, causal, dense
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
        """The bias of each token so far (0, or `HIDDEN` of padding), their number, keys and values of each layer."""
        heads, width = self.heads, self.width // self.heads
        caches = [
            StateSpec(f"{kind}_{layer}", (heads, PAST, width))
            for layer in range(len(self.layers))
            for kind in ("key", "value")
        ]
        return [StateSpec("bias", (PAST,)), StateSpec("count", (), "int64"), *caches]

    def extend(
        self, tokens: Tensor, lengths: Tensor, logits_from: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalDecoder`; the state is (N, P), (N,), then (N, h, P, D / h) each."""
        sizes = (tokens.shape[0], tokens.shape[1])
        before, count = state[:2]
        chunk = torch.arange(sizes[1], device=tokens.device)  # (T,)
        real = bias(chunk < lengths[:, None])  # (N, T)
        read = torch.cat([before, real], dim=1)  # (N, P + T)
        attention_bias = read[:, None, None].masked_fill(~causal(before.shape[1], sizes[1]), HIDDEN)  # (N, 1, T, P + T)
        places = (count[:, None] + chunk).clamp(max=self.max_length - 1)  # (N, T); padding may be beyond
        features = self.positions(self.embedding(tokens), places).view(-1, self.width)  # (N * T, D)
        following = [read, count + lengths]
        for index, layer in enumerate(self.layers):
            own = state[2 + 2 * index : 4 + 2 * index]
            features, key, value = cast(EncoderLayer, layer).extend(features, sizes, attention_bias, *own)
            following += [key, value]
        wanted = self.norm(features.view(*sizes, self.width)[:, logits_from[0] :])  # (N, T - f, D)
        weight = self.embedding.table.weight if self.head is None else self.head.weight  # (V, D)
        logits = dense(wanted.reshape(-1, self.width), weight)
        return logits.view(sizes[0], wanted.shape[1], weight.shape[0]), following

    def _logits(self, features: Tensor) -> Tensor:
        """(..., D) to (..., V)."""
        logits: Tensor = self.embedding.logits(features) if self.head is None else self.head(features)
        return logits
