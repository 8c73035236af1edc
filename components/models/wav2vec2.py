"""A classifier of waveforms of transformers: wav2vec 2.0, Baevski et al. 2020, arXiv:2006.11477.

Legend: N batch, T samples of a sound, F frames, C channels of the convolutions, D width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForAudioClassification, PretrainedConfig

from components.contracts.architectures.hub_generation import Wav2Vec2Spec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.core.errors import UsageError
from components.identity import hub_folder
from components.models import hub_config, masks
from components.models.hub_loading import LoadsFromHub

DROPOUTS = (
    "hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout", "layerdrop",
)  # fmt: skip
EXTRACTOR = "preprocessor_config.json"
TINY = 1e-7  # added to the variance of a sound, as transformers' feature extractor does


def build(config: Wav2Vec2Spec, input_spec: SeriesInput, output_spec: ClassesOutput) -> Wav2Vec2:
    """The classifier of a config.json, with random weights.

    Raises:
        NotFoundError, SourceError, CorruptArtifactError: the config.json is missing, or cannot be read.
        UsageError: it is of another kind, weighs its layers or has adapters, or the series are no waveforms.
    """
    source = config.config_source
    hf_config = hub_config.read(source, ("wav2vec2",))
    hub_config.set_dropout(hf_config, DROPOUTS, config.dropout)
    if input_spec.channels != 1:
        raise UsageError(
            "the series of the dataset are no waveforms",
            where="model.name",
            got=f"{input_spec.channels} channels",
            next_step="set input: {features: waveform} in dataset.yaml",
        )
    for name in ("use_weighted_layer_sum", "add_adapter"):
        if getattr(hf_config, name, False):
            next_step = "choose weights without it"
            raise UsageError(f"{name} is not supported", where=f"model.config, {source}", got=True, next_step=next_step)
    folder = hub_folder.find(source, weights=False)
    extractor = folder.document(EXTRACTOR) if folder.file(EXTRACTOR) else {}
    hf_config.num_labels = output_spec.classes
    return Wav2Vec2(hf_config, normalise=bool(extractor.get("do_normalize", True)))


class Wav2Vec2(LoadsFromHub, nn.Module):
    """transformers' classifier; every sound is answered as it is alone, without padding.

    Args:
        hf_config: transformers' config, with the number of classes.
        normalise: whether each sound has mean 0 and variance 1 first, as its feature extractor says.
    """

    auto = AutoModelForAudioClassification
    head_names: Sequence[str] = ("body.projector", "body.classifier")

    def __init__(self, hf_config: PretrainedConfig, *, normalise: bool) -> None:
        super().__init__()
        self.hf_config, self.normalise = hf_config, normalise
        self.body: Any = AutoModelForAudioClassification.from_config(hf_config)
        steps = [math.prod(hf_config.conv_stride[:layer]) for layer in range(len(hf_config.conv_stride))]
        fields = zip(hf_config.conv_kernel, steps, strict=True)
        self.receptive_field = 1 + sum((kernel - 1) * step for kernel, step in fields)

    def forward(self, series: Tensor, lengths: Tensor) -> Tensor:
        """Waveforms (N, T, 1), lengths (N,) to logits (N, K). Sounds shorter than one frame are padded with zeros."""
        lengths = lengths.clamp(min=self.receptive_field)  # (N,)
        sound = functional.pad(series[..., 0], (0, self.receptive_field))  # (N, T + field)
        inside = masks.inside(lengths, sound.shape[1]).to(sound.dtype)  # (N, T + field)
        if self.normalise:
            sound = _normalised(sound, inside, TINY)
        frames, lengths = self._convolved(sound * inside, lengths)  # (N, F, C), (N,)
        hidden = self.body.wav2vec2.feature_projection(frames)[0]  # (N, F, D)
        known = masks.inside(lengths, hidden.shape[1])  # (N, F)
        hidden = self.body.wav2vec2.encoder(hidden, attention_mask=known).last_hidden_state
        weights = known[..., None].to(hidden.dtype)  # (N, F, 1)
        pooled = (self.body.projector(hidden) * weights).sum(dim=1) / weights.sum(dim=1)
        logits: Tensor = self.body.classifier(pooled)
        return logits

    def _convolved(self, sound: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The convolutions over sounds (N, T): frames (N, F, C), and their numbers (N,).

        A normalisation over time counts the frames of the sound alone.
        """
        hidden = sound[:, None]  # (N, 1, T)
        for layer in self.body.wav2vec2.feature_extractor.conv_layers:
            hidden = layer.conv(hidden)
            (kernel,), (stride,) = layer.conv.kernel_size, layer.conv.stride
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):  # of one channel each
                inside = masks.inside(lengths, hidden.shape[2])[:, None].to(hidden.dtype)  # (N, 1, F)
                hidden = _normalised(hidden, inside, norm.eps) * norm.weight[:, None] + norm.bias[:, None]
            elif norm is not None:
                hidden = norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = layer.activation(hidden)
        return hidden.transpose(1, 2), lengths


def _normalised(values: Tensor, inside: Tensor, tiny: float) -> Tensor:
    """Values (..., T) with mean 0 and variance 1 over the places where `inside` is 1."""
    count = inside.sum(dim=-1, keepdim=True)
    mean = (values * inside).sum(dim=-1, keepdim=True) / count
    variance = (((values - mean) * inside) ** 2).sum(dim=-1, keepdim=True) / count
    return (values - mean) / torch.sqrt(variance + tiny)
