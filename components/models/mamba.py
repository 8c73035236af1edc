"""A selective state space model, from transformers: Mamba, Gu and Dao 2023, arXiv:2312.00752.

Legend: N batch, T length, D width, I channels inside a layer, S state, W window of the convolution, K classes,
V vocabulary.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, silu, softplus
from transformers import MambaConfig, MambaModel

from components.contracts.architectures.text import MambaSpec
from components.contracts.shapes import ClassesOutput, NextTokenOutput, TokensInput
from components.models.incremental import StateSpec, dense
from components.models.pooling import pooling


def build(config: MambaSpec, input_spec: TokensInput, output_spec: ClassesOutput | NextTokenOutput) -> Mamba:
    """A network from texts to one class, or to the next token."""
    hf_config = MambaConfig(
        vocab_size=input_spec.vocabulary,
        pad_token_id=input_spec.pad,
        hidden_size=config.width,
        state_size=config.state,
        num_hidden_layers=config.depth,
        expand=config.expand,
        conv_kernel=config.window,
        use_cache=False,
    )
    return Mamba(config, hf_config, output_spec)


class Mamba(nn.Module):
    """transformers' layers, then a dense layer over the pooled text, or the matrix of the embedding for next tokens.

    No step depends on a later one, so real tokens do not depend on padding.

    Args:
        config: pooling and dropout.
        hf_config: transformers' config of the layers.
        output_spec: one class, or the next token.
    """

    # Layers of a mixer whose weights the GPU kernels read without a call: a LoRA adapter would have no effect.
    uncalled_layers = ("x_proj", "dt_proj", "out_proj")

    def __init__(self, config: MambaSpec, hf_config: MambaConfig, output_spec: ClassesOutput | NextTokenOutput) -> None:
        super().__init__()
        self.backbone = MambaModel(hf_config)
        self.classifies = not isinstance(output_spec, NextTokenOutput)  # or gives one number
        self.head_names: Sequence[str] = ("pooling", "head") if self.classifies else ("backbone.norm_f",)
        if not isinstance(output_spec, NextTokenOutput):
            self.pooling = None if config.pooling == "last" else pooling(config.pooling, config.width)
            self.dropout = nn.Dropout(config.dropout)
            self.head = nn.Linear(config.width, output_spec.classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, K) or (N, T, V)."""
        if not self.classifies:
            return cast(Tensor, self._features(tokens) @ self.backbone.embeddings.weight.T)  # (N, T, V)
        logits: Tensor = self.head(self.dropout(self.pooled(tokens, lengths)))  # (N, K)
        return logits

    def pooled(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to features (N, D); for a network of classes."""
        features = self._features(values)  # (N, T, D)
        if self.pooling is None:
            ends = (lengths.clamp(min=1) - 1)[:, None, None].expand(-1, 1, features.shape[2])  # (N, 1, D)
            return features.gather(1, ends)[:, 0]
        return cast(Tensor, self.pooling(features, lengths))

    def _features(self, tokens: Tensor) -> Tensor:
        """(N, T) to (N, T, D)."""
        if torch.onnx.is_in_onnx_export():
            return looped(self.backbone, tokens)
        return cast(Tensor, self.backbone(input_ids=tokens, use_cache=False).last_hidden_state)

    def states(self) -> list[StateSpec]:
        """Of each layer, the inputs that its convolution still sees (I, W - 1), and the state of its scan (I, S)."""
        found: list[StateSpec] = []
        for index, block in enumerate(cast(Any, self.backbone.layers)):
            channels, size = block.mixer.intermediate_size, block.mixer.ssm_state_size
            found.append(StateSpec(f"window_{index}", (channels, block.mixer.conv_kernel_size - 1)))
            found.append(StateSpec(f"state_{index}", (channels, size)))
        return found

    def extend(
        self, tokens: Tensor, lengths: Tensor, logits_from: Tensor, state: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """See `IncrementalDecoder`; for a network of the next token."""
        backbone = self.backbone
        features: Tensor = backbone.embeddings(tokens)  # (N, T, D)
        inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]  # (N, T)
        following: list[Tensor] = []
        for index, block in enumerate(cast(Any, backbone.layers)):
            part = _State(state[2 * index], state[2 * index + 1], lengths, inside)
            mixed, *after = _mixed(block.mixer, block.norm(features), part)
            features = features + mixed  # (N, T, D)
            following += after
        read = backbone.norm_f(features[:, logits_from[0] :])  # (N, T - f, D)
        weight = backbone.embeddings.weight  # (V, D)
        logits = dense(read.reshape(-1, read.shape[2]), weight)
        return logits.view(read.shape[0], read.shape[1], weight.shape[0]), following


def looped(backbone: MambaModel, tokens: Tensor) -> Tensor:
    """The backbone's output for tokens (N, T), (N, T, D), with the scan as a loop (algorithm 2 of the paper).

    For the exporter, which would unroll transformers' scan for the length of its example.
    """
    features: Tensor = backbone.embeddings(tokens)  # (N, T, D)
    for block in cast(Any, backbone.layers):
        features = features + _mixed(block.mixer, block.norm(features))[0]  # (N, T, D)
    return cast(Tensor, backbone.norm_f(features))


class _State(NamedTuple):
    """The state of a layer before a chunk, and what of the chunk is real.

    Args:
        window: (N, I, W - 1).
        state: (N, I, S).
        lengths, inside: (N,) and bool (N, T).
    """

    window: Tensor
    state: Tensor
    lengths: Tensor
    inside: Tensor


def _mixed(mixer: Any, features: Tensor, before: _State | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The mixer of one layer, (N, T, D) to (N, T, D), and the window and the state after each sample's last token.

    Without a state before, nothing is before, and all tokens count as real.
    """
    hidden, gate = mixer.in_proj(features).transpose(1, 2).chunk(2, dim=1)  # (N, I, T) each
    kernel = mixer.conv1d
    window = kernel.kernel_size[0] - 1
    padded = nn.functional.pad(hidden, (window, 0)) if before is None else torch.cat([before.window, hidden], dim=2)
    hidden = silu(conv1d(padded, kernel.weight, kernel.bias, groups=kernel.groups))
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    step, b, c = torch.split(mixer.x_proj(hidden.transpose(1, 2)), sizes, dim=2)  # (N, T, rank), (N, T, S) twice
    step = softplus(mixer.dt_proj(step)).transpose(1, 2)  # (N, I, T)
    decay = torch.exp(-torch.exp(mixer.A_log)[:, None] * step[..., None])  # (N, I, T, S)
    update = step[..., None] * b[:, None] * hidden[..., None]  # (N, I, T, S)
    state, last = torch.zeros_like(decay[:, :, 0]), padded[:, :, :window]  # (N, I, S), (N, I, W - 1)
    if before is not None:
        state = before.state
        real = before.inside[:, None, :, None]  # (N, 1, T, 1)
        decay, update = decay.masked_fill(~real, 1.0), update.masked_fill(~real, 0.0)  # padding leaves the state alone
        places = before.lengths[:, None] + torch.arange(window, device=features.device)  # (N, W - 1)
        last = padded.gather(2, places[:, None].expand(-1, padded.shape[1], -1))
    scanned, state = _scripted()(decay, update, c, state)
    mixed: Tensor = mixer.out_proj(((scanned + hidden * mixer.D[:, None]) * silu(gate)).transpose(1, 2))  # (N, T, D)
    return mixed, last, state


def scan(decay: Tensor, update: Tensor, c: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The selective scan: state = decay * state + update, output = C state.

    Args:
        decay, update: (N, I, T, S).
        c: the paper's C, (N, T, S).
        state: (N, I, S) before the first step.

    Returns:
        The output (N, I, T) and the last state.
    """
    outputs: list[Tensor] = []
    for index in range(decay.shape[2]):
        state = decay[:, :, index] * state + update[:, :, index]  # (N, I, S)
        outputs.append((state * c[:, index][:, None]).sum(2))  # (N, I)
    return torch.stack(outputs, dim=2), state


@functools.cache
def _scripted() -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """`scan` as TorchScript: the exporter keeps the loop instead of unrolling it for the length of its example."""
    with warnings.catch_warnings():
        # The TorchScript exporter has no other way to keep a loop; tests compare the graph at other lengths.
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated", category=DeprecationWarning)
        return torch.jit.script(scan)
