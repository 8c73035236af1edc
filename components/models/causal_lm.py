"""A causal language model of transformers, whose kind and sizes are those of a config.json.

Legend: N batch, T length, P earlier tokens, L layers, h heads of keys and values, d width of a head, D width, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PretrainedConfig

from components.contracts.architectures.hub_generation import CausalLmSpec
from components.contracts.shapes import NextTokenOutput, TokensInput
from components.core.errors import UsageError
from components.models import hub_config
from components.models.hub_loading import LoadsFromHub
from components.models.incremental import HIDDEN, PAST, StateSpec, bias, causal, dense

SUPPORTED = ("gpt2", "llama", "mistral", "qwen2", "qwen3")  # compared with transformers in tests/models
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout")
FIXED_ROTARY = ("default", "linear", "llama3", "yarn")  # kinds of rotary positions that do not depend on the length


def build(config: CausalLmSpec, input_spec: TokensInput, output_spec: NextTokenOutput) -> CausalLm:
    """The language model of a config.json, with random weights.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: the kind is not one of `SUPPORTED`, or the texts do not fit the vocabulary or the positions.
    """
    hf_config = hub_config.read(config.config_source, SUPPORTED)
    hub_config.set_dropout(hf_config, DROPOUTS, config.dropout)
    hub_config.check_memory(AutoModelForCausalLM, hf_config, config.config_source)
    _check(hf_config, config.config_source, input_spec)
    hf_config.pad_token_id = None  # padding is known by lengths; transformers would look for it in every batch
    return CausalLm(hf_config)


def _check(hf_config: PretrainedConfig, source: str, input_spec: TokensInput) -> None:
    """Refuse texts that the network cannot read, and kinds of attention that a state of all tokens does not serve."""
    if input_spec.vocabulary > hf_config.vocab_size:
        raise UsageError(
            "the tokenizer has more tokens than the embedding has rows",
            where=f"model.config, {source}",
            got=f"{input_spec.vocabulary} tokens",
            expected=f"at most {hf_config.vocab_size}",
            next_step=f"use the tokenizer of the weights: input.tokenizer {{kind: pretrained, source: {source}}}",
        )
    window = getattr(hf_config, "sliding_window", None) if "sliding_attention" in _attention_kinds(hf_config) else None
    for what, limit in (("positions", hf_config.max_position_embeddings), ("sliding window", window)):
        if limit is not None and input_spec.max_length > limit:
            raise UsageError(
                f"the texts are longer than the {what} of the language model",
                where=f"model.config, {source}",
                got=f"{input_spec.max_length} tokens",
                expected=f"at most {limit}",
                next_step="prepare shorter texts (input.max_length of dataset.yaml)",
            )
    rotary = (getattr(hf_config, "rope_parameters", None) or {}).get("rope_type", "default")
    if rotary not in FIXED_ROTARY:
        raise UsageError(
            "this kind of rotary positions is not supported",
            where=f"model.config, {source}",
            got=rotary,
            expected=", ".join(FIXED_ROTARY),
            next_step="choose weights of another model",
        )


def _attention_kinds(hf_config: PretrainedConfig) -> set[str]:
    """Kinds of the attention layers; a model of the Mistral type has a window in all layers if it has one."""
    if hf_config.model_type == "mistral":
        return {"sliding_attention"}
    return set(getattr(hf_config, "layer_types", None) or ())


class CausalLm(LoadsFromHub, nn.Module):
    """The language model of transformers; weights have transformers' names below `body`.

    Args:
        hf_config: transformers' config of the language model.
    """

    auto = AutoModelForCausalLM
    head_names: Sequence[str] = ()  # nothing is new: low-rank adapters train no layer as a whole
    uncalled_layers = ("lm_head",)
    takes_segments = True

    def __init__(self, hf_config: PretrainedConfig) -> None:
        super().__init__()
        self.hf_config = hf_config
        self.body: Any = AutoModelForCausalLM.from_config(hf_config, attn_implementation="sdpa")

    def forward(self, tokens: Tensor, lengths: Tensor, segments: Tensor | None = None) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, T, V). Lengths are unused: real tokens never attend to padding.

        Args:
            segments: int64 (N, T), the number of each token's text in a row of several texts; the attention and the
                positions begin anew with each. None: a row is one text.
        """
        mask, places = None, None
        if segments is not None:
            mask, places = _separate(segments, self._weight.dtype)
        features: Tensor = self.body.base_model(
            input_ids=tokens, attention_mask=mask, position_ids=places, use_cache=False
        ).last_hidden_state  # (N, T, D)
        return nn.functional.linear(features, self._weight)

    def states(self) -> list[StateSpec]:
        """The bias of each token so far (0, or `HIDDEN` of padding), their number, keys and values of each layer."""
        heads = getattr(self.hf_config, "num_key_value_heads", None) or self.hf_config.num_attention_heads
        width = (
            getattr(self.hf_config, "head_dim", None)
            or self.hf_config.hidden_size // self.hf_config.num_attention_heads
        )
        caches = [
            StateSpec(f"{kind}_{layer}", (heads, PAST, width))
            for layer in range(self.hf_config.num_hidden_layers)
            for kind in ("key", "value")
        ]
        return [StateSpec("bias", (PAST,)), StateSpec("count", (), "int64"), *caches]

    def extend(
        self, tokens: Tensor, lengths: Tensor, logits_from: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalDecoder`; the state is (N, P), (N,), then (N, h, P, d) each."""
        before, count = state[:2]
        chunk = torch.arange(tokens.shape[1], device=tokens.device)  # (T,)
        read = torch.cat([before, bias(chunk < lengths[:, None])], dim=1)  # (N, P + T)
        allowed = causal(before.shape[1], tokens.shape[1])
        attention_bias = read[:, None, None].masked_fill(~allowed, HIDDEN)  # (N, 1, T, P + T)
        places = (count[:, None] + chunk).clamp(max=self.hf_config.max_position_embeddings - 1)  # padding may be beyond
        cache = KeysAndValues(state[2:])
        features = self.body.base_model(
            input_ids=tokens, attention_mask=attention_bias, position_ids=places, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, logits_from[0] :]  # (N, T - f, D)
        logits = dense(features.reshape(-1, features.shape[-1]), self._weight)
        sizes = (tokens.shape[0], features.shape[1], self._weight.shape[0])
        return logits.view(sizes), [read, count + lengths, *cache.tensors]

    @property
    def _weight(self) -> Tensor:
        """Of the output layer (V, D), which is the matrix of the embedding if both are tied."""
        weight: Tensor = self.body.get_output_embeddings().weight
        return weight


class KeysAndValues:
    """The part of transformers' `Cache` that its decoders call, over tensors that are given.

    Args:
        state: key and value (N, h, P, d) of each layer, one after the other.
    """

    is_compileable = False

    def __init__(self, state: Sequence[Tensor]) -> None:
        self.tensors = list(state)

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, (N, h, P + T, d) each, after those of the chunk."""
        place = 2 * layer_idx
        self.tensors[place] = torch.cat([self.tensors[place], keys], dim=2)
        self.tensors[place + 1] = torch.cat([self.tensors[place + 1], values], dim=2)
        return self.tensors[place], self.tensors[place + 1]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """P, or P + T after the layer was updated."""
        return self.tensors[2 * layer_idx].shape[2]


def _separate(segments: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Segments (N, T) to the bias of attention (N, 1, T, T) and the position of each token in its text (N, T)."""
    length = segments.shape[1]
    places = torch.arange(length, device=segments.device)
    same = (segments[:, :, None] == segments[:, None]) & (places <= places[:, None])  # (N, T, T)
    mask = torch.zeros_like(same, dtype=dtype).masked_fill(~same, torch.finfo(dtype).min)
    first = torch.cat([torch.ones_like(segments[:, :1], dtype=torch.bool), segments[:, 1:] != segments[:, :-1]], dim=1)
    begins = (first * places).cummax(dim=1).values  # (N, T)
    return mask[:, None], places - begins
