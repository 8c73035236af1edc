"""AdamW and SGD over one flat buffer: a step is a handful of vector operations, however many layers there are.

torch.optim is the reference the tests compare with. It is not used, because its first use imports the compiler
(ten seconds on two cores, more than the whole training of a small network).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from components.contracts.train_spec import TrainSpec

ADAM_BETAS = (0.9, 0.999)
ADAM_EPSILON = 1e-8


class FlatParameters:
    """All weights of a network in one buffer, all gradients in another; the parameters become views of them.

    Matrices and kernels come first, up to `decayed`: weight decay is for them, not for biases and the two
    vectors of a normalisation (Goyal et al. 2017, arXiv:1706.02677, section 5.3).
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        ordered = sorted(trained, key=lambda parameter: parameter.ndim < 2)
        self.decayed = sum(parameter.numel() for parameter in ordered if parameter.ndim >= 2)
        self.weights = torch.cat([_in_memory_order(parameter.detach()) for parameter in ordered])
        self.gradients = torch.zeros_like(self.weights)
        begin = 0
        for parameter in ordered:
            strides = parameter.stride()
            parameter.data = self.weights.as_strided(parameter.shape, strides, begin)
            parameter.grad = self.gradients.as_strided(parameter.shape, strides, begin)
            begin += parameter.numel()


def _in_memory_order(tensor: Tensor) -> Tensor:
    """The elements as they lie in memory, whatever the memory format."""
    return tensor.as_strided((tensor.numel(),), (1,))


class Optimizer(Protocol):
    """Takes one step down the gradients; its state is a few flat tensors and a count."""

    flat: FlatParameters

    def step(self, learning_rate: float) -> None:
        """Change the weights by the gradients."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must keep beside the weights."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""


class AdamW:
    """Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, decay scaled by the learning rate as in torch."""

    def __init__(self, flat: FlatParameters, weight_decay: float) -> None:
        self.flat = flat
        self.weight_decay = weight_decay
        self.steps = 0
        self.mean = torch.zeros_like(flat.weights)
        self.square = torch.zeros_like(flat.weights)

    def step(self, learning_rate: float) -> None:
        """One step with bias-corrected moments."""
        self.steps += 1
        first, second = ADAM_BETAS
        weights, gradients = self.flat.weights, self.flat.gradients
        weights[: self.flat.decayed].mul_(1 - learning_rate * self.weight_decay)
        self.mean.lerp_(gradients, 1 - first)
        self.square.mul_(second).addcmul_(gradients, gradients, value=1 - second)
        size = learning_rate / (1 - first**self.steps)
        denominator = self.square.sqrt().div_(math.sqrt(1 - second**self.steps)).add_(ADAM_EPSILON)
        weights.addcdiv_(self.mean, denominator, value=-size)

    def state(self) -> dict[str, Tensor]:
        """Both moments and the count of steps."""
        return {"mean": self.mean, "square": self.square, "steps": torch.tensor(self.steps)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.steps = int(state["steps"])


class Sgd:
    """Gradient descent with Nesterov's momentum (Sutskever et al. 2013, PMLR 28, in torch's form)."""

    def __init__(self, flat: FlatParameters, weight_decay: float, momentum: float) -> None:
        self.flat = flat
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.velocity = torch.zeros_like(flat.weights)

    def step(self, learning_rate: float) -> None:
        """One step; weight decay is added to the gradient."""
        weights, gradients = self.flat.weights, self.flat.gradients
        decayed = self.flat.decayed
        gradients[:decayed].add_(weights[:decayed], alpha=self.weight_decay)
        self.velocity.mul_(self.momentum).add_(gradients)
        weights.add_(gradients.add_(self.velocity, alpha=self.momentum), alpha=-learning_rate)

    def state(self) -> dict[str, Tensor]:
        """The velocity."""
        return {"velocity": self.velocity}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved state."""
        self.velocity.copy_(state["velocity"])


def build_optimizer(spec: TrainSpec, network: nn.Module) -> Optimizer:
    """The optimizer that a spec names, over all of a network's weights, on the device where they lie."""
    flat = FlatParameters(network.parameters())
    if spec.optimizer == "sgd":
        return Sgd(flat, spec.weight_decay, spec.momentum)
    return AdamW(flat, spec.weight_decay)


def clip(gradients: Tensor, largest_norm: float) -> None:
    """Scale all gradients so that their joint L2 norm is at most `largest_norm` (Pascanu et al. 2013)."""
    norm = torch.linalg.vector_norm(gradients)
    gradients.mul_((largest_norm / (norm + 1e-6)).clamp(max=1.0))


def scaled_step(optimizer: Optimizer, learning_rate: float, scaler: torch.amp.GradScaler, norm: float | None) -> None:
    """A step with float16's scaled gradients; left out where a gradient overflowed, and the scale is lowered."""
    holder = _ScalerView(optimizer)
    scaler.unscale_(holder)  # type: ignore[arg-type]  # it reads param_groups and calls step, no more
    if norm is not None:
        clip(optimizer.flat.gradients, norm)
    scaler.step(holder, learning_rate)  # type: ignore[arg-type]  # as above
    scaler.update()


class _ScalerView:
    """An optimizer as torch's GradScaler sees it."""

    def __init__(self, optimizer: Optimizer) -> None:
        weights = optimizer.flat.weights
        weights.grad = optimizer.flat.gradients
        self.param_groups = [{"params": [weights]}]
        self.step = optimizer.step
