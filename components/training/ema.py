"""An exponential moving average of a network's weights (Polyak and Juditsky 1992; as of Ho et al. 2020,
arXiv:2006.11239, appendix B)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from components.contracts.loop_spec import EmaSpec

STATISTICS = ("running_mean", "running_var")  # buffers of batch normalisations, which belong to the weights


class WeightAverage:
    """The average of all weights in floating point and of the running statistics of batch normalisations.

    All other buffers are those of the network. The average is held on the device, in the weights' number format.

    Args:
        values: the average by name; before the first step, the weights.
        steps: number of updates.
    """

    def __init__(self, spec: EmaSpec, network: nn.Module) -> None:
        self._spec = spec
        self._weights = averaged(network)
        self.values = {name: weight.clone() for name, weight in self._weights.items()}
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the present weights to the average, after an optimizer step."""
        share = 1 - min(self._spec.decay, (1 + self.steps) / (10 + self.steps)) if self._spec.warmup else None
        weight = share if share is not None else 1 - self._spec.decay
        torch._foreach_lerp_(list(self.values.values()), list(self._weights.values()), weight)
        self.steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the context the network has the averaged weights; after it, its own again, bit for bit."""
        own = [weight.clone() for weight in self._weights.values()]
        self._set(list(self.values.values()))
        try:
            yield
        finally:
            self._set(own)

    def restore(self, values: dict[str, Tensor], steps: int) -> None:
        """Restore the average of a checkpoint."""
        with torch.no_grad():
            for name, value in self.values.items():
                value.copy_(values[name])
        self.steps = steps

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(list(self._weights.values()), values)


def averaged(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that are averaged, by name, without a gradient; they share the network's memory."""
    weights = {name: weight.detach() for name, weight in network.named_parameters() if weight.is_floating_point()}
    statistics = {name: buffer for name, buffer in network.named_buffers() if name.rpartition(".")[2] in STATISTICS}
    return weights | statistics
