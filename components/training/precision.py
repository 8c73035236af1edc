"""Number format of the computation: autocast and gradient scaling."""

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
        """The context of the forward pass; weights and their updates stay in float32."""
        if self.format == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16 if self.format == "bf16" else torch.float16)

    def scaler(self) -> torch.amp.GradScaler:
        """Gradient scaling for float16 (Micikevicius 2018, arXiv:1710.03740); disabled for other formats."""
        return torch.amp.GradScaler(self.device.type, enabled=self.format == "fp16")


def choose_precision(setting: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """`auto` is bf16 on a GPU that supports it, else fp32: on a CPU bf16 is emulated and several times slower."""
    if setting != "auto":
        return Precision(setting, device)
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", device)
    return Precision("fp32", device)


def choose_compile(setting: Literal["auto", "on", "off"], device: torch.device, total_steps: int) -> bool:
    """`auto` compiles on a GPU if there are enough steps to gain more than the minute of compilation."""
    if setting != "auto":
        return setting == "on"
    return device.type == "cuda" and total_steps >= 20_000
