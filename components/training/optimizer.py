"""torch's optimizers for a train spec, and their state as named tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from components.contracts.train_spec import TrainSpec
from components.training import replication
from components.training.muon import muon_with_adamw
from components.training.weight_decay import decayed_by_name

# Tables of positions, tokens that are no token of a text, and the logarithm of Mamba's decay rates (Gu and Dao 2023,
# `_no_weight_decay` of the authors' code): none of them multiplies an input.
UNDECAYED = re.compile(
    r"(^|[._])positions\.table$|position_embeddings?(\.weight)?$|(^|\.)(cls|mask|detection)_tokens?$|(^|\.)A_log$"
)


def build_optimizer(
    spec: TrainSpec, network: nn.Module, factors: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a spec for all trained weights of a network, on their device.

    SGD uses Nesterov momentum. Fused: one kernel for all weights of a group.

    Args:
        factors: factors of the learning rate, by name of the weight; default 1.

    Raises:
        UsageError: a name in `weight_decay_by_name` matches no weight, or there is no matrix for Muon.
    """
    groups = decayed_by_name(weight_groups(network, spec.weight_decay, factors or {}), network, spec)
    if spec.optimizer == "muon":
        return muon_with_adamw(groups, network, spec)
    if spec.optimizer == "lion":
        from lion_pytorch import Lion  # no other training needs it

        lion: torch.optim.Optimizer = Lion(groups, lr=spec.learning_rate, betas=(spec.betas[0], spec.betas[1]))
        return lion
    if spec.optimizer == "adamw":
        betas = spec.betas[0], spec.betas[1]
        return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=betas, eps=spec.eps, fused=True)
    # torch 2.13's fused SGD uses uninitialised momentum after the scaler has skipped the very first step.
    fused = None if spec.precision == "fp16" else True
    nesterov = spec.momentum > 0
    return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, nesterov=nesterov, fused=fused)


def weight_groups(network: nn.Module, weight_decay: float, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameter groups of the trained weights, by factor of the learning rate and by weight decay.

    Matrices and kernels have weight decay; biases and the vectors of normalisations have none (Goyal et al. 2017,
    arXiv:1706.02677, section 5.3), nor have `UNDECAYED`.
    """
    trained = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = []
    for factor in sorted({factors.get(name, 1.0) for name, _ in trained}, reverse=True):
        members = [(name, weight) for name, weight in trained if factors.get(name, 1.0) == factor]
        decayed = [weight for name, weight in members if weight.ndim >= 2 and not UNDECAYED.search(name)]
        others = [weight for name, weight in members if weight.ndim < 2 or UNDECAYED.search(name)]
        groups += [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        for group in groups[-2:]:
            group["factor"] = factor
    return groups


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of each group: the rate times the factor of the group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer for a checkpoint: `0.exp_avg` is of the first weight. Empty before the first step.

    The tensors are not copied; weights are numbered by group, as in torch's `state_dict`.
    """
    of_weights: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, state in of_weights.items() for name, value in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the result of `optimizer_state`; each tensor gets the memory format of its weight, which files lose."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    of_weights: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        like = value if name == "step" else weights[int(index)]
        of_weights.setdefault(int(index), {})[name] = replication.like(value, like)
    optimizer.load_state_dict({"state": of_weights, "param_groups": optimizer.state_dict()["param_groups"]})
