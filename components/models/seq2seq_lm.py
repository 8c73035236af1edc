"""An encoder and a decoder of transformers, T5 or Marian, whose kind and sizes are those of a config.json.

Legend: N batch, S source length, T target length, D width, V vocabulary, P earlier tokens of the target, h heads, d
width of a head, R hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from transformers import AutoModelForSeq2SeqLM, EncoderDecoderCache, PretrainedConfig

from components.contracts.architectures.hub_generation import Seq2SeqLmSpec
from components.contracts.shapes import TextOutput, TokensInput
from components.core.errors import UsageError
from components.models import hub_config, masks
from components.models.causal_lm import KeysAndValues
from components.models.hub_loading import LoadsFromHub
from components.models.incremental import PAST, SOURCE, StateSpec, bias, causal, dense

SUPPORTED = ("marian", "t5")  # compared with transformers in tests/models
DROPOUTS = ("dropout_rate", "dropout", "attention_dropout", "activation_dropout")
CROSS_LAYERS = {"marian": ("encoder_attn", "k_proj", "v_proj"), "t5": ("layer.1.EncDecAttention", "k", "v")}


def build(config: Seq2SeqLmSpec, input_spec: TokensInput, output_spec: TextOutput) -> Seq2SeqLm:
    """The network of a config.json, with random weights.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: the kind is not one of `SUPPORTED`, or the texts do not fit the vocabularies or the positions.
    """
    hf_config = hub_config.read(config.config_source, SUPPORTED)
    hub_config.set_dropout(hf_config, DROPOUTS, config.dropout)
    hub_config.check_memory(AutoModelForSeq2SeqLM, hf_config, config.config_source)
    _check(hf_config, config.config_source, input_spec, output_spec)
    return Seq2SeqLm(hf_config)


def _check(hf_config: PretrainedConfig, source: str, input_spec: TokensInput, output_spec: TextOutput) -> None:
    """Refuse texts that the network cannot read or write."""
    rows = getattr(hf_config, "decoder_vocab_size", None) or hf_config.vocab_size
    length = max(input_spec.max_length, output_spec.max_length)
    start = hf_config.decoder_start_token_id
    start = hf_config.pad_token_id if start is None else start
    limits = (
        ("the source has more tokens than the embedding has rows", input_spec.vocabulary, hf_config.vocab_size),
        ("the target has more tokens than the embedding has rows", output_spec.vocabulary, rows),
        ("the texts are longer than the positions", length, getattr(hf_config, "max_position_embeddings", None)),
    )
    for what, got, limit in limits:
        if limit is not None and got > limit:
            next_step = f"use the tokenizer of the weights, input.tokenizer {{kind: pretrained, source: {source}}}"
            raise UsageError(what, where=f"model.config, {source}", got=got, expected=f"at most {limit}",
                             next_step=f"{next_step}, or set input.max_length")  # fmt: skip
    if output_spec.begin != start:
        raise UsageError(
            "targets do not begin with the token that the decoder begins with",
            where=f"model.config, {source}",
            got=output_spec.begin,
            expected=start,
            next_step=f"use the tokenizer of the weights: input.tokenizer {{kind: pretrained, source: {source}}}",
        )


class Seq2SeqLm(LoadsFromHub, nn.Module):
    """The network of transformers, with its output layer; weights have transformers' names below `body`.

    Args:
        hf_config: transformers' config of the network.
    """

    auto = AutoModelForSeq2SeqLM
    head_names: Sequence[str] = ()  # nothing is new: low-rank adapters train no layer as a whole
    uncalled_layers = ("lm_head",)

    def __init__(self, hf_config: PretrainedConfig) -> None:
        super().__init__()
        self.hf_config = hf_config
        self.body: Any = AutoModelForSeq2SeqLM.from_config(hf_config, attn_implementation="eager")

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Source (N, S), lengths (N,), target so far (N, T) to logits of the token after each (N, T, V)."""
        return self._logits(self._decoded(self.encode(source, source_lengths), source_lengths, target))

    def encode(self, source: Tensor, source_lengths: Tensor) -> Tensor:
        """Source (N, S), lengths (N,) to memory (N, S, D)."""
        mask = bias(masks.keys(source_lengths, source.shape[1]))  # (N, 1, 1, S)
        memory: Tensor = self._encoder(input_ids=source, attention_mask=mask).last_hidden_state
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
        """See `IncrementalTranslator`: (N, 1, 1, S), then (N, h, S, d) each."""
        memory = self.encode(source, source_lengths)  # (N, S, D)
        found = [bias(masks.keys(source_lengths, source.shape[1]))]
        heads, width = self._sizes
        name, *layers = CROSS_LAYERS[self.hf_config.model_type]
        for block in self._blocks:
            attention = block.get_submodule(name)
            for layer in layers:
                part = attention.get_submodule(layer)(memory)  # (N, S, h * d)
                found.append(part.view(*part.shape[:2], heads, width).transpose(1, 2))
        return found

    def extend(self, target: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalTranslator`; the state is (R, h, P, d) each."""
        cross_bias, *caches = (of_hypotheses(one, target.shape[0]) for one in memory)
        own = KeysAndValues(state)
        features = self._decoder(
            input_ids=target,
            attention_mask=bias(causal(state[0].shape[2], target.shape[1]))[None, None],  # (1, 1, T, P + T)
            encoder_hidden_states=caches[0],  # says that there is a source; its keys and values are in the cache
            encoder_attention_mask=cross_bias,
            past_key_values=SourceCache(own, caches),
            use_cache=True,
        ).last_hidden_state  # (R, T, D)
        return self._logits(features[:, -1]), own.tensors

    @property
    def _encoder(self) -> nn.Module:
        return cast(nn.Module, self.body.get_encoder())

    @property
    def _decoder(self) -> nn.Module:
        return cast(nn.Module, self.body.get_decoder())

    @property
    def _blocks(self) -> Sequence[nn.Module]:
        decoder: Any = self._decoder
        return decoder.block if self.hf_config.model_type == "t5" else decoder.layers  # type: ignore[no-any-return]  # of transformers

    @property
    def _sizes(self) -> tuple[int, int]:
        """h and d of the decoder."""
        if self.hf_config.model_type == "t5":
            return self.hf_config.num_heads, self.hf_config.d_kv
        heads = self.hf_config.decoder_attention_heads
        return heads, self.hf_config.d_model // heads

    def _caches(self, prefix: str, free: str) -> list[StateSpec]:
        heads, width = self._sizes
        names = [f"{prefix}{kind}_{layer}" for layer in range(len(self._blocks)) for kind in ("key", "value")]
        return [StateSpec(name, (heads, free, width)) for name in names]

    def _decoded(self, memory: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """(N, T, D)"""
        features: Tensor = self._decoder(
            input_ids=target,
            attention_mask=bias(causal(0, target.shape[1]).to(target.device))[None, None],
            encoder_hidden_states=memory,
            encoder_attention_mask=bias(masks.keys(source_lengths, memory.shape[1])),
            use_cache=False,
        ).last_hidden_state
        return features

    def _logits(self, features: Tensor) -> Tensor:
        """(..., D) to (..., V)."""
        if getattr(self.hf_config, "scale_decoder_outputs", False):
            features = features * self.hf_config.d_model**-0.5
        logits = dense(features.reshape(-1, features.shape[-1]), self.body.lm_head.weight)
        logits = logits.view(*features.shape[:-1], logits.shape[-1])
        extra: Tensor | None = getattr(self.body, "final_logits_bias", None)
        return logits if extra is None else logits + extra


class SourceCache(EncoderDecoderCache):  # type: ignore[misc]  # transformers leaves it without types
    """transformers' cache over tensors that are given: of the target so far, and of the source, which is complete.

    Args:
        own: of the target.
        source: key and value (R, h, S, d) of each layer, one after the other.
    """

    def __init__(self, own: KeysAndValues, source: Sequence[Tensor]) -> None:
        self.self_attention_cache = own
        self.cross_attention_cache = _Layers([_Layer(*source[at : at + 2]) for at in range(0, len(source), 2)])
        self.is_updated = dict.fromkeys(range(len(source) // 2), True)

    # The kinds of the layers, by which transformers looks for one with full attention: all are.
    is_sliding: Sequence[bool] = ()
    is_linear: Sequence[bool] = ()
    is_dummy: Sequence[bool] = ()

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """P, or P + T after the layer was updated."""
        return self.self_attention_cache.get_seq_length(layer_idx)


class _Layers:
    def __init__(self, layers: list[_Layer]) -> None:
        self.layers = layers


class _Layer:
    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self.keys, self.values = keys, values


def of_hypotheses(memory: Tensor, rows: int) -> Tensor:
    """A memory (N, ...) for R hypotheses (R, ...): those of one sample are one after the other."""
    shape = memory.shape
    several = memory[:, None].expand(shape[0], rows // shape[0], *shape[1:])
    return several.reshape(rows, *shape[1:])
