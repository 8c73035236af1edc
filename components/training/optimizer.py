"""torch's optimizers as a spec names them, and their state as plain named tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.contracts.train_spec import TrainSpec


def build_optimizer(spec: TrainSpec, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that a spec names, over all trained weights of a network, on the device where they lie.

    Matrices and kernels decay; biases and the two vectors of a normalisation do not (Goyal et al. 2017,
    arXiv:1706.02677, section 5.3). SGD's momentum is Nesterov's. Fused: one kernel for all weights of a group.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=spec.learning_rate, fused=True)
    # torch 2.13's fused SGD goes on from uninitialised momentum when the scaler leaves out the very first step.
    fused = None if spec.precision == "fp16" else True
    nesterov = spec.momentum > 0
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=nesterov, fused=fused)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The rate of the next steps, for all weights."""
    for group in optimizer.param_groups:
        group["lr"] = rate


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
