"""Encoders of the BERT type, from transformers: Devlin et al. 2019, arXiv:1810.04805, and its successors.

Legend: N batch, T length, D width, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig

from components.contracts.architectures.text import BertSpec
from components.contracts.shapes import ClassesOutput, TokenClassesOutput, TokensInput
from components.core.errors import CorruptArtifactError, NotFoundError, UsageError
from components.identity import hub_folder
from components.models import masks
from components.models.pooling import pooling

# The encoders of transformers whose attention takes the additive mask of `Bert.encode` as it is. Others, such as
# deberta-v2 (which reads a mask as bool) and modernbert (whose local layers have masks of their own), are refused.
SUPPORTED = ("bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "mpnet")
# Encoders whose position numbers start after the number of the padding.
SHIFTED = ("roberta", "xlm-roberta", "camembert", "mpnet")
WITH_POOLING = ("bert", "roberta", "xlm-roberta", "camembert", "albert", "mpnet")
MAX_PADDED_ROWS = 127  # of an embedding: its number of rows is rounded up to a multiple of at most 128
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


def build(config: BertSpec, input_spec: TokensInput, output_spec: ClassesOutput | TokenClassesOutput) -> Bert:
    """A network from texts to one class, or to one class for each token.

    Raises:
        NotFoundError, SourceError: the config.json of the spec is missing.
        UsageError: the texts are longer than the encoder allows, or it is not one of `SUPPORTED`.
    """
    hf_config = configure(config, input_spec)
    places = hf_config.max_position_embeddings - (input_spec.pad + 1 if hf_config.model_type in SHIFTED else 0)
    if input_spec.max_length > places:
        raise UsageError(
            "the texts are longer than the encoder allows",
            where="model.positions" if config.config_source is None else "model.config",
            got=f"{input_spec.max_length} tokens",
            expected=f"at most {places}",
            next_step="prepare shorter texts (input.max_length of dataset.yaml)",
        )
    return Bert(config, hf_config, output_spec)


def configure(config: BertSpec, input_spec: TokensInput) -> PretrainedConfig:
    """transformers' config, from a config.json or from the sizes of the spec, with the vocabulary of the tokenizer.

    Rows of the embedding beyond the tokenizer's vocabulary are kept for pretrained weights that pad it.

    Raises:
        NotFoundError, SourceError: the config.json of the spec is missing.
        CorruptArtifactError: the config.json cannot be read.
        UsageError: the encoder is not one of `SUPPORTED`.
    """
    if config.config_source is None:
        sizes: dict[str, Any] = {
            "hidden_size": config.width,
            "num_hidden_layers": config.depth,
            "num_attention_heads": config.heads,
            "intermediate_size": config.inner,
            "max_position_embeddings": config.positions,
        }
        hf_config = AutoConfig.for_model(config.kind, **sizes)
    else:
        place = find(config.config_source)
        try:
            document = json.loads(place.read_text(encoding="utf-8"))
            kind = document.pop("model_type")
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CorruptArtifactError("the config cannot be read", where=str(place), got=error) from error
        if kind not in SUPPORTED:
            raise UsageError(
                "this kind of encoder is not supported",
                where=f"model.config, {place}",
                got=f"model_type {kind}",
                expected=", ".join(SUPPORTED),
                next_step="choose weights of one of these kinds, or `name: hub-encoder`, which takes more",
            )
        try:
            hf_config = AutoConfig.for_model(kind, **document)
        except (ValueError, TypeError, AttributeError) as error:
            raise CorruptArtifactError("the config cannot be read", where=str(place), got=error) from error
    if not (config.pretrained and 0 <= hf_config.vocab_size - input_spec.vocabulary <= MAX_PADDED_ROWS):
        hf_config.vocab_size = input_spec.vocabulary
    hf_config.pad_token_id = input_spec.pad
    for name in DROPOUTS:
        if hasattr(hf_config, name):
            setattr(hf_config, name, config.dropout)
    return hf_config


class Bert(nn.Module):
    """The encoder without its own pooling, then a pooling and a dense layer (or a dense layer for each token).

    Args:
        config: pooling and dropout.
        hf_config: transformers' config of the encoder.
        output_spec: one class, or one class for each token.
    """

    head_names: Sequence[str] = ("pooling", "head")

    def __init__(
        self, config: BertSpec, hf_config: PretrainedConfig, output_spec: ClassesOutput | TokenClassesOutput
    ) -> None:
        super().__init__()
        # The encoder's own pooling is left out: unused weights would not be trained.
        settings = {"add_pooling_layer": False} if hf_config.model_type in WITH_POOLING else {}
        self.encoder = AutoModel.from_config(hf_config, **settings)
        self.every_token = isinstance(output_spec, TokenClassesOutput)
        self.pooling = (
            None if self.every_token or config.pooling == "first" else pooling(config.pooling, hf_config.hidden_size)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(hf_config.hidden_size, output_spec.classes)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, K) or (N, T, K)."""
        logits: Tensor = self.head(self.dropout(self.pooled(tokens, lengths)))  # (N, K) or (N, T, K)
        return logits

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to features (N, D), or (N, T, D) for a class of each token."""
        features = self.encode(values, lengths)  # (N, T, D)
        if self.pooling is not None:
            return cast(Tensor, self.pooling(features, lengths))
        return features if self.every_token else features[:, 0]

    def encode(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to vectors (N, T, D)."""
        # transformers uses a mask of four axes as it is; a mask of two axes would be traced for the example's padding.
        beyond = ~masks.keys(lengths, tokens.shape[1])  # (N, 1, 1, T)
        weight = next(self.encoder.parameters())
        mask = torch.zeros_like(beyond, dtype=weight.dtype).masked_fill(beyond, torch.finfo(weight.dtype).min)
        vectors: Tensor = self.encoder(input_ids=tokens, attention_mask=mask).last_hidden_state  # (N, T, D)
        return vectors

    def fit_pretrained(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights with the names of this version: old checkpoints have gamma and beta for weight and bias of a norm."""
        ends = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
        renamed = {}
        for name, value in weights.items():
            for old, new in ends.items():
                name = name.removesuffix(old) + new if name.endswith(old) else name
            renamed[name] = value
        return renamed


def find(source: str) -> Path:
    """The config.json of a source `package:`, `folder:` or `hub:`.

    Raises:
        NotFoundError, SourceError: the file is missing.
    """
    folder = hub_folder.find(source, weights=False)
    path = folder.file(hub_folder.CONFIG)
    if path is None:
        raise NotFoundError("the config.json is missing", where=source, next_step="correct model.config")
    return path
