"""Which number format the network computes in, and what that needs: autocast, a scaler of gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import torch

Format = Literal["fp32", "bf16", "fp16"]


class Precision(NamedTuple):
    """A chosen format on a device."""

    format: Format
    device: torch.device

    def autocast(self) -> AbstractContextManager[object]:
        """Around the forward pass; weights and their updates stay in float32."""
        if self.format == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.format == "bf16" else torch.float16)

    def scaler(self) -> torch.amp.GradScaler:
        """float16 has too small a range for gradients: they are scaled (Micikevicius 2018, arXiv:1710.03740).

        In the other formats it does nothing but call the optimizer.
        """
        return torch.amp.GradScaler(self.device.type, enabled=self.format == "fp16")


def choose_precision(asked: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """`auto` is bf16 on a GPU that computes in it, else fp32: on a CPU bf16 is emulated and several times slower."""
    if asked != "auto":
        return Precision(asked, device)
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", device)
    return Precision("fp32", device)


def choose_compile(asked: Literal["auto", "on", "off"], device: torch.device, total_steps: int) -> bool:
    """`auto` compiles on a GPU where the steps are many enough to win back the minute that it costs."""
    if asked != "auto":
        return asked == "on"
    return device.type == "cuda" and total_steps >= 20_000
