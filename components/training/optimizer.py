"""torch's optimizers as a spec names them, and their state as plain named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from components.contracts.train_spec import TrainSpec


def build_optimizer(
    spec: TrainSpec, network: nn.Module, factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer that a spec names, over all trained weights of a network, on the device where they lie.

    SGD's momentum is Nesterov's. Fused: one kernel for all weights of a group.

    Args:
        factors: what the learning rates of some weights, by name, are multiplied with.
    """
    groups = weight_groups(network, spec.weight_decay, factors or {})
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=spec.learning_rate, fused=True)
    # torch 2.13's fused SGD goes on from uninitialised momentum when the scaler leaves out the very first step.
    fused = None if spec.precision == "fp16" else True
    nesterov = spec.momentum > 0
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=nesterov, fused=fused)


def weight_groups(network: nn.Module, weight_decay: float, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """The trained weights by the factor of their learning rate and by their decay.

    Matrices and kernels decay; biases and the two vectors of a normalisation do not (Goyal et al. 2017,
    arXiv:1706.02677, section 5.3).
    """
    trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = []
    for factor in sorted({factors.get(name, 1.0) for name, _ in trained}, reverse=True):
        members = [weight for name, weight in trained if factors.get(name, 1.0) == factor]
        groups += [
            {"params": [weight for weight in members if weight.ndim >= 2], "weight_decay": weight_decay},
            {"params": [weight for weight in members if weight.ndim < 2], "weight_decay": 0.0},
        ]
        for group in groups[-2:]:
            group["factor"] = factor
    return groups


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next steps; each group takes it times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What a checkpoint must keep beside the weights: `0.exp_avg` is the first weight's. Empty before the first step.

    The tensors are the optimizer's own, not copies; the count is by group, as in torch's `state_dict`.
    """
    of_weights: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, state in of_weights.items() for name, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Take back what `optimizer_state` gave; each tensor gets its weight's memory format, which files do not keep."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    of_weights: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        like = value if name == "step" else weights[int(index)]
        of_weights.setdefault(int(index), {})[name] = torch.empty_like(like).copy_(value)
    optimizer.load_state_dict({"state": of_weights, "param_groups": optimizer.state_dict()["param_groups"]})
