"""Whisper of transformers (Radford et al. 2022, arXiv:2212.04356), whose sizes are those of a config.json.

Legend: N batch, T frames of a sound, B mel bands, W frames of the window, S places of the encoder (W / 2), D width, V
vocabulary, U tokens of a text, P earlier tokens, h heads, d width of a head, R hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSpeechSeq2Seq, PretrainedConfig

from components.contracts.architectures.hub_generation import WhisperSpec
from components.contracts.shapes import SeriesInput, TranscriptOutput
from components.core.errors import UsageError
from components.identity import hub_folder
from components.models import hub_config, masks
from components.models.causal_lm import KeysAndValues
from components.models.hub_loading import LoadsFromHub
from components.models.incremental import PAST, StateSpec, bias, causal, dense
from components.models.seq2seq_lm import SourceCache, of_hypotheses

DROPOUTS = ("dropout", "attention_dropout", "activation_dropout")
STRIDE = 2  # frames of a place of the encoder
GENERATION = "generation_config.json"


def build(config: WhisperSpec, input_spec: SeriesInput, output_spec: TranscriptOutput) -> Whisper:
    """The network of a config.json, with random weights.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: it is of another kind, or frames or tokens of the dataset are not those of the weights.
    """
    source = config.config_source
    hf_config = hub_config.read(source, ("whisper",))
    hub_config.set_dropout(hf_config, DROPOUTS, config.dropout)
    hub_config.check_memory(AutoModelForSpeechSeq2Seq, hf_config, source)
    _check(hf_config, source, input_spec, output_spec)
    folder = hub_folder.find(source, weights=False)
    return Whisper(hf_config, folder.document(GENERATION) if folder.file(GENERATION) else None)


def _check(hf_config: PretrainedConfig, source: str, input_spec: SeriesInput, output_spec: TranscriptOutput) -> None:
    """Refuse frames that the encoder cannot read and texts that the decoder cannot write."""
    window, tokens = STRIDE * hf_config.max_source_positions, output_spec.vocabulary
    limits = (
        ("the frames have another number of bands", input_spec.channels, hf_config.num_mel_bins, True),
        ("the window has another number of frames", input_spec.max_length, window, True),
        ("the tokenizer has more tokens than the embedding has rows", tokens, hf_config.vocab_size, False),
        ("texts are longer than the positions", output_spec.max_length, hf_config.max_target_positions, False),
    )
    for what, got, limit, equal in limits:
        if got > limit or (equal and got != limit):
            raise UsageError(
                f"{what} of the network", where=f"model.config, {source}", got=got,
                expected=limit if equal else f"at most {limit}",
                next_step=f'use the features and the tokenizer of the weights: input: {{tokenizer: {{kind: pretrained,'
                f' source: "{source}"}}}} in dataset.yaml, and an input.max_length that fits',
            )  # fmt: skip
    if output_spec.begin[:1] != (hf_config.decoder_start_token_id,):
        raise UsageError(
            "texts do not begin with the token that the decoder begins with", where=f"model.config, {source}",
            got=output_spec.begin[:1], expected=hf_config.decoder_start_token_id,
            next_step="use the tokenizer of the weights in dataset.yaml",
        )  # fmt: skip


class Whisper(LoadsFromHub, nn.Module):
    """The network of transformers, with its output layer; weights have transformers' names below `body`.

    Args:
        hf_config: transformers' config of the network.
        generation: the generation_config.json of the weights, which an export needs; None: there is none.
    """

    auto = AutoModelForSpeechSeq2Seq
    head_names: Sequence[str] = ()  # nothing is new: low-rank adapters train no layer as a whole
    uncalled_layers = ("proj_out",)

    def __init__(self, hf_config: PretrainedConfig, generation: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.hf_config, self.generation = hf_config, generation
        self.body: Any = AutoModelForSpeechSeq2Seq.from_config(hf_config, attn_implementation="eager")
        self.memory_length: int = hf_config.max_source_positions

    def forward(self, series: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Frames (N, T, B), lengths (N,), text so far (N, U) to logits of the token after each (N, U, V)."""
        return self._logits(self._decoded(self.encode(series, lengths), target))

    def encode(self, series: Tensor, lengths: Tensor) -> Tensor:
        """Frames (N, T, B), lengths (N,) to memory (N, S, D)."""
        memory: Tensor = self.body.get_encoder()(self._window(series, lengths).transpose(1, 2)).last_hidden_state
        return memory

    def decode(self, memory: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Memory (N, S, D), text so far (N, U) to logits of the token after the last (N, V); lengths are unused."""
        return self._logits(self._decoded(memory, target)[:, -1])

    def states(self) -> list[StateSpec]:
        """Keys and values of the self-attention of each layer."""
        return self._caches("", PAST)

    def memories(self) -> list[StateSpec]:
        """Keys and values of each layer's attention to the sound."""
        return self._caches("cross_", self.memory_length)

    def remember(self, series: Tensor, lengths: Tensor) -> list[Tensor]:
        """See `IncrementalTranslator`: (N, h, S, d) each."""
        memory = self.encode(series, lengths)  # (N, S, D)
        heads, width = self._sizes
        parts = [
            layer(memory)
            for block in self.body.get_decoder().layers
            for layer in (block.encoder_attn.k_proj, block.encoder_attn.v_proj)
        ]
        return [part.view(*part.shape[:2], heads, width).transpose(1, 2) for part in parts]

    def extend(self, target: Tensor, memory: Sequence[Tensor], state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalTranslator`; the state is (R, h, P, d) each."""
        caches = [of_hypotheses(one, target.shape[0]) for one in memory]
        own = KeysAndValues(state)
        features = self.body.get_decoder()(
            input_ids=target,
            attention_mask=bias(causal(state[0].shape[2], target.shape[1]))[None, None],  # (1, 1, U, P + U)
            encoder_hidden_states=caches[0],  # says that there is a sound; its keys and values are in the cache
            past_key_values=SourceCache(own, caches),
            use_cache=True,
        ).last_hidden_state  # (R, U, D)
        return self._logits(features[:, -1]), own.tensors

    @property
    def _sizes(self) -> tuple[int, int]:
        """h and d of the decoder."""
        heads = self.hf_config.decoder_attention_heads
        return heads, self.hf_config.d_model // heads

    def _caches(self, prefix: str, length: int | str) -> list[StateSpec]:
        heads, width = self._sizes
        layers = range(self.hf_config.decoder_layers)
        names = [f"{prefix}{kind}_{layer}" for layer in layers for kind in ("key", "value")]
        return [StateSpec(name, (heads, length, width)) for name in names]

    def _window(self, series: Tensor, lengths: Tensor) -> Tensor:
        """Frames (N, T, B) to (N, W, B): the frames after the end are the last one, which is silence."""
        bands = series.shape[2]
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, bands)  # (N, 1, B)
        silence = series.gather(1, last)  # (N, 1, B)
        inside = masks.inside(lengths, series.shape[1])[..., None]  # (N, T, 1)
        whole = torch.cat([torch.where(inside, series, silence), silence.expand(-1, self._frames, bands)], dim=1)
        return whole[:, : self._frames]

    @property
    def _frames(self) -> int:
        """W"""
        return STRIDE * self.memory_length

    def _decoded(self, memory: Tensor, target: Tensor) -> Tensor:
        """(N, U, D)"""
        features: Tensor = self.body.get_decoder()(
            input_ids=target,
            attention_mask=bias(causal(0, target.shape[1]).to(target.device))[None, None],
            encoder_hidden_states=memory,
            use_cache=False,
        ).last_hidden_state
        return features

    def _logits(self, features: Tensor) -> Tensor:
        """(..., D) to (..., V)."""
        logits = dense(features.reshape(-1, features.shape[-1]), self.body.proj_out.weight)
        return logits.view(*features.shape[:-1], logits.shape[-1])
