"""Muon for the matrices of hidden layers, AdamW for all other weights, as one optimizer.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/, which leaves embeddings, the output layer and
vectors to AdamW. The update of a matrix is scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982), so that
both have one learning rate. The algorithms are torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.training.transfer import head_names, in_head


class MuonWithAdamW(torch.optim.Optimizer):
    """Two optimizers of torch with one state and one list of parameter groups.

    Args:
        matrices, others: parameter groups of Muon and of AdamW.
    """

    def __init__(self, matrices: list[dict[str, Any]], others: list[dict[str, Any]], spec: TrainSpec) -> None:
        rate, momentum = spec.learning_rate, spec.momentum
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices, lr=rate, momentum=momentum, nesterov=momentum > 0, adjust_lr_fn="match_rms_adamw"
            )
        ]
        if others:
            betas = spec.betas[0], spec.betas[1]
            self._parts.append(torch.optim.AdamW(others, lr=rate, betas=betas, eps=spec.eps, fused=True))
        super().__init__([group for part in self._parts for group in part.param_groups], {"lr": rate})
        self.param_groups = [group for part in self._parts for group in part.param_groups]
        for part in self._parts:
            part.state = self.state  # one dictionary, by weight

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # no loss to return
        """One step of each optimizer; a closure is not supported."""
        for part in self._parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of both optimizers."""
        super().load_state_dict(state_dict)
        begin = 0
        for part in self._parts:
            end = begin + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[begin:end], self.state
            begin = end


def muon_with_adamw(groups: list[dict[str, Any]], network: nn.Module, spec: TrainSpec) -> MuonWithAdamW:
    """The optimizer for parameter groups of a network: matrices outside of embeddings and of the head go to Muon.

    Raises:
        UsageError: the network has no such matrix.
    """
    tables = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    heads = head_names(network)
    hidden = {
        id(weight)
        for name, weight in network.named_parameters()
        if weight.ndim == 2 and id(weight) not in tables and not in_head(name, heads)
    }
    matrices: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for group in groups:
        for target, is_matrix in ((matrices, True), (others, False)):
            if weights := [weight for weight in group["params"] if (id(weight) in hidden) is is_matrix]:
                target.append({**group, "params": weights})
    if not matrices:
        raise UsageError(
            "Muon has nothing to update: the network has no trained matrix outside of embeddings and its last layer",
            where="train.optimizer",
            got="muon",
            expected="a network with dense hidden layers, such as a transformer",
            next_step="set train.optimizer: adamw",
        )
    return MuonWithAdamW(matrices, others, spec)
