"""Dropout that draws little: Srivastava et al. 2014, JMLR 15:1929-1958."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_VALUES = 2**16


class Dropout(nn.Dropout):
    """torch's dropout; on a CPU with 16 random bits a value instead of 64, which torch draws one by one on one core.

    The share that is dropped is p to the nearest 1/65,536, and what is kept is scaled by just that share, so the mean
    stays. Drawn from torch's global generator. Inputs may be of any shape, and keep their layout in memory.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        dropped = round(self.p * _VALUES)
        plain = not self.training or dropped in (0, _VALUES) or input.device.type != "cpu"
        if plain or torch.compiler.is_compiling():
            return super().forward(input)
        words = torch.empty((input.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.int16)[: input.numel()] >= dropped - _VALUES // 2
        noise = kept.to(input.dtype).mul_(_VALUES / (_VALUES - dropped))
        return input * noise.as_strided(input.shape, torch.empty_like(input, device="meta").stride())


def use_fast_dropout(network: nn.Module) -> None:
    """Put `Dropout` in the place of each of torch's own below `network`."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))
