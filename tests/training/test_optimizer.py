import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from components.contracts.train_spec import TrainSpec
from components.training.optimizer import FlatParameters, build_optimizer, clip, scaled_step


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4 * 4, 5)
    )


def _gradients(network: nn.Module, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    images = torch.rand(8, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 5, (8,), generator=generator)
    functional.cross_entropy(network(images), labels).backward()


def test_parameters_become_views_and_keep_values_and_memory_format() -> None:
    network = _network()
    network.to(memory_format=torch.channels_last)
    before = {name: value.clone() for name, value in network.named_parameters()}
    flat = FlatParameters(network.parameters())
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name])
        assert value.stride() == before[name].stride()
        assert value.untyped_storage().data_ptr() == flat.weights.untyped_storage().data_ptr()
    assert flat.decayed == 6 * 3 * 9 + 5 * 96
    _gradients(network, 0)
    total = sum(float(value.grad.square().sum()) for value in network.parameters() if value.grad is not None)
    assert float(flat.gradients.square().sum()) == pytest.approx(total, rel=1e-5)
    assert total > 0


def test_one_step_of_adamw_by_hand() -> None:
    """With fresh moments the step is the learning rate times the gradient's sign; decay is for matrices only."""
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 2.0)
    nn.init.constant_(network.bias, 3.0)
    optimizer = build_optimizer(TrainSpec(weight_decay=0.1), network)
    optimizer.flat.gradients.copy_(torch.tensor([-4.0, 0.5]))
    optimizer.step(0.01)
    assert network.weight.item() == pytest.approx(2.0 * (1 - 0.01 * 0.1) + 0.01)
    assert network.bias.item() == pytest.approx(3.0 - 0.01)


@pytest.mark.slow  # torch.optim imports the compiler: ten seconds
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_steps_as_torch_does(name: str) -> None:
    spec = TrainSpec(optimizer="adamw" if name == "adamw" else "sgd", weight_decay=0.05, momentum=0.8)
    ours, theirs = _network(), _network()
    groups = [
        {"params": [value for value in theirs.parameters() if value.ndim >= 2], "weight_decay": 0.05},
        {"params": [value for value in theirs.parameters() if value.ndim < 2], "weight_decay": 0.0},
    ]
    reference: torch.optim.Optimizer
    if name == "adamw":
        reference = torch.optim.AdamW(groups, lr=0.01)
    else:
        reference = torch.optim.SGD(groups, lr=0.01, momentum=0.8, nesterov=True)
    optimizer = build_optimizer(spec, ours)
    for step in range(25):
        rate = 0.01 * (1 + step % 3)
        optimizer.flat.gradients.zero_()
        reference.zero_grad()
        _gradients(ours, step)
        _gradients(theirs, step)
        clip(optimizer.flat.gradients, 0.5)
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        for group in reference.param_groups:
            group["lr"] = rate
        optimizer.step(rate)
        reference.step()
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, yours, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_goes_on_from_its_state_bit_for_bit(name: str) -> None:
    spec = TrainSpec(optimizer="adamw" if name == "adamw" else "sgd")
    through, halves = _network(), _network()
    first = build_optimizer(spec, through)
    second = build_optimizer(spec, halves)
    for step in range(6):
        if step == 3:
            state = {key: value.clone() for key, value in second.state().items()}
            second = build_optimizer(spec, halves)
            second.restore(state)
        for optimizer, network in ((first, through), (second, halves)):
            optimizer.flat.gradients.zero_()
            _gradients(network, step)
            optimizer.step(0.01)
    assert torch.equal(first.flat.weights, second.flat.weights)


def test_clipping_leaves_small_gradients_and_shortens_large_ones() -> None:
    small, large = torch.tensor([0.3, 0.4]), torch.tensor([30.0, 40.0])
    clip(small, 1.0)
    clip(large, 1.0)
    torch.testing.assert_close(small, torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(large, torch.tensor([0.6, 0.8]))


def test_an_overflowed_step_is_left_out_and_the_scale_halved() -> None:
    network = nn.Linear(2, 2)
    optimizer = build_optimizer(TrainSpec(weight_decay=0.0), network)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = optimizer.flat.weights.clone()
    scaler.scale(network(torch.ones(1, 2)).sum()).backward()
    optimizer.flat.gradients[0] = math.inf
    scaled_step(optimizer, 0.1, scaler, None)
    assert torch.equal(optimizer.flat.weights, before)
    assert scaler.get_scale() == 512.0
    optimizer.flat.gradients.zero_()
    scaler.scale(network(torch.ones(1, 2)).sum()).backward()
    scaled_step(optimizer, 0.1, scaler, 1.0)
    torch.testing.assert_close(optimizer.flat.weights, before - 0.1)
