"""Lion against the formula of its paper, and its state in a checkpoint."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.contracts.train_spec import TrainSpec
from components.training.optimizer import build_optimizer, optimizer_state, restore_optimizer

SPEC = TrainSpec(optimizer="lion", betas=[0.9, 0.99], learning_rate=0.01, weight_decay=0.1, warmup_steps=2)


def _step(network: nn.Linear, optimizer: torch.optim.Optimizer, seed: int) -> torch.Tensor:
    """One step with drawn gradients; the gradient of the matrix."""
    draw = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.grad = torch.randn(weight.shape, generator=draw)
    optimizer.step()
    assert network.weight.grad is not None
    return network.weight.grad.clone()


def test_steps_are_those_of_the_paper_and_go_on_from_a_checkpoint() -> None:
    """Chen et al. 2023, arXiv:2302.06675, algorithm 2."""
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    optimizer = build_optimizer(SPEC, network)
    weight, momentum = network.weight.detach().clone(), torch.zeros(3, 4)
    for seed in range(3):
        gradient = _step(network, optimizer, seed)
        update = (0.9 * momentum + 0.1 * gradient).sign()
        weight = weight - 0.01 * (update + 0.1 * weight)
        momentum = 0.99 * momentum + 0.01 * gradient
        torch.testing.assert_close(network.weight.detach(), weight)

    again = nn.Linear(4, 3)
    again.load_state_dict(network.state_dict())
    restored = build_optimizer(SPEC, again)
    restore_optimizer(restored, {name: value.clone() for name, value in optimizer_state(optimizer).items()})
    _step(network, optimizer, 7)
    _step(again, restored, 7)
    assert torch.equal(network.weight, again.weight)
    assert torch.equal(network.bias, again.bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs betas"),
        ({"betas": [0.9, 0.99], "eps": 1e-6}, "eps has no effect"),
        ({"betas": [0.9, 0.99], "momentum": 0.5}, "momentum has no effect"),
        ({"betas": [0.9, 0.99], "processes": 2, "sharding": "fsdp2"}, "sharding does not go with"),
    ],
)
def test_settings_that_lion_has_not_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainSpec.model_validate({"optimizer": "lion", **settings})
