"""Muon for hidden matrices with AdamW for the rest, against torch's two optimizers side by side."""

import pytest
import torch
from torch import nn

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError
from components.training.optimizer import build_optimizer, optimizer_state, restore_optimizer, set_learning_rate


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 8), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))


def _backward(network: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    tokens = torch.randint(0, 7, (4, 3), generator=generator)
    network.zero_grad()
    network(tokens).square().mean().backward()


def test_equals_torchs_two_optimizers() -> None:
    network, reference = _network(), _network()
    spec = TrainSpec(optimizer="muon", weight_decay=0.1, momentum=0.95, betas=[0.8, 0.99], eps=1e-6)
    optimizer = build_optimizer(spec, network)
    table, hidden, hidden_bias, head, head_bias = reference.parameters()
    muon = torch.optim.Muon([hidden], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    groups = [
        {"params": [table, head], "weight_decay": 0.1},
        {"params": [hidden_bias, head_bias], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.99), eps=1e-6, fused=True)
    for step in range(3):
        _backward(network, step)
        _backward(reference, step)
        set_learning_rate(optimizer, 0.01)
        optimizer.step()
        muon.step()
        adamw.step()
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("stop_after", [0, 2])
def test_goes_on_from_a_checkpoint_bit_for_bit(stop_after: int) -> None:
    spec = TrainSpec(optimizer="muon")
    through, halves = _network(), _network()
    first, second = build_optimizer(spec, through), build_optimizer(spec, halves)
    for step in range(4):
        if step == stop_after:
            saved = {name: value.clone() for name, value in optimizer_state(second).items()}
            second = build_optimizer(spec, halves)
            restore_optimizer(second, saved)
        for network, optimizer in ((through, first), (halves, second)):
            _backward(network, step)
            set_learning_rate(optimizer, 0.01 * (1 + step))
            optimizer.step()
    assert all(torch.equal(mine, yours) for mine, yours in zip(through.parameters(), halves.parameters(), strict=True))
    assert {key.rpartition(".")[2] for key in optimizer_state(second)} == {
        "momentum_buffer", "step", "exp_avg", "exp_avg_sq",
    }  # fmt: skip


def test_a_network_without_hidden_matrices_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(UsageError, match="nothing to update") as caught:
        build_optimizer(TrainSpec(optimizer="muon"), network)
    assert caught.value.where == "train.optimizer"
