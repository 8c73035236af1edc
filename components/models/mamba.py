"""A selective state space model, from transformers: Mamba, Gu and Dao 2023, arXiv:2312.00752.

Legend: N batch, T length, D width, I channels inside a layer, S state, K classes, V vocabulary.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, silu, softplus
from transformers import MambaConfig, MambaModel

from components.contracts.architectures.text import MambaSpec
from components.contracts.shapes import ClassesOutput, NextTokenOutput, TokensInput
from components.models.pooling import pooling


def build(spec: MambaSpec, given: TokensInput, wanted: ClassesOutput | NextTokenOutput) -> Mamba:
    """Texts to one class each, or to the next token."""
    config = MambaConfig(
        vocab_size=given.vocabulary,
        pad_token_id=given.pad,
        hidden_size=spec.width,
        state_size=spec.state,
        num_hidden_layers=spec.depth,
        expand=spec.expand,
        conv_kernel=spec.window,
        use_cache=False,
    )
    return Mamba(spec, config, wanted)


class Mamba(nn.Module):
    """transformers' layers, then a dense layer over one vector of the text; or the embedding's own matrix, for tokens.

    No step sees a later one, so what is real sees no padding.

    Args:
        spec: pooling and dropout.
        config: of the layers.
        wanted: what comes out.
    """

    def __init__(self, spec: MambaSpec, config: MambaConfig, wanted: ClassesOutput | NextTokenOutput) -> None:
        super().__init__()
        self.backbone = MambaModel(config)
        self.classifies = isinstance(wanted, ClassesOutput)
        self.head_names: Sequence[str] = ("pooling", "head") if self.classifies else ("backbone.norm_f",)
        if isinstance(wanted, ClassesOutput):
            self.pooling = None if spec.pooling == "last" else pooling(spec.pooling, spec.width)
            self.dropout = nn.Dropout(spec.dropout)
            self.head = nn.Linear(spec.width, wanted.classes)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N, T), lengths (N,) to logits (N, K) or (N, T, V)."""
        if torch.onnx.is_in_onnx_export():
            features = looped(self.backbone, tokens)  # (N, T, D)
        else:
            features = self.backbone(input_ids=tokens, use_cache=False).last_hidden_state  # (N, T, D)
        if not self.classifies:
            return cast(Tensor, features @ self.backbone.embeddings.weight.T)  # (N, T, V)
        if self.pooling is None:
            ends = (lengths.clamp(min=1) - 1)[:, None, None].expand(-1, 1, features.shape[2])  # (N, 1, D)
            pooled = features.gather(1, ends)[:, 0]  # (N, D)
        else:
            pooled = self.pooling(features, lengths)  # (N, D)
        logits: Tensor = self.head(self.dropout(pooled))  # (N, K)
        return logits


def looped(backbone: MambaModel, tokens: Tensor) -> Tensor:
    """What the backbone says of tokens (N, T), (N, T, D), for the exporter: it would write as many steps as its example
    has. Algorithm 2 of the paper, with the steps in a loop."""
    features: Tensor = backbone.embeddings(tokens)  # (N, T, D)
    for block in cast(Any, backbone.layers):
        features = features + _mixed(block.mixer, block.norm(features))  # (N, T, D)
    return cast(Tensor, backbone.norm_f(features))


def _mixed(mixer: Any, features: Tensor) -> Tensor:
    """One layer's mixing, (N, T, D) to (N, T, D)."""
    inward, gate = mixer.in_proj(features).transpose(1, 2).chunk(2, dim=1)  # (N, I, T) each
    kernel = mixer.conv1d
    window = kernel.kernel_size[0] - 1
    inward = silu(conv1d(nn.functional.pad(inward, (window, 0)), kernel.weight, kernel.bias, groups=kernel.groups))
    sizes = [mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size]
    step, write, read = torch.split(mixer.x_proj(inward.transpose(1, 2)), sizes, dim=2)  # (N, T, rank), (N, T, S) twice
    step = softplus(mixer.dt_proj(step)).transpose(1, 2)  # (N, I, T)
    decay = torch.exp(-torch.exp(mixer.A_log)[:, None] * step[..., None])  # (N, I, T, S)
    written = step[..., None] * write[:, None] * inward[..., None]  # (N, I, T, S)
    outward = _scripted()(decay, written, read) + inward * mixer.D[:, None]  # (N, I, T)
    mixed: Tensor = mixer.out_proj((outward * silu(gate)).transpose(1, 2))  # (N, T, D)
    return mixed


def scan(decay: Tensor, written: Tensor, read: Tensor) -> Tensor:
    """The states one after the other, each read: (N, I, T, S) twice, (N, T, S) to (N, I, T)."""
    state = torch.zeros_like(decay[:, :, 0])  # (N, I, S)
    outward: list[Tensor] = []
    for index in range(decay.shape[2]):
        state = decay[:, :, index] * state + written[:, :, index]  # (N, I, S)
        outward.append((state * read[:, index][:, None]).sum(2))  # (N, I)
    return torch.stack(outward, dim=2)


@functools.cache
def _scripted() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`scan` as TorchScript: the exporter writes its loop as a loop, and not as the steps of its example."""
    with warnings.catch_warnings():
        # The older exporter knows no other way to keep a loop; tests compare its graph at other lengths.
        warnings.filterwarnings("ignore", message=".torch.jit.script. is deprecated", category=DeprecationWarning)
        return torch.jit.script(scan)
