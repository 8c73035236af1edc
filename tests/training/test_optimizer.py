import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn import functional

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput, TokensInput
from components.contracts.train_spec import TrainSpec
from components.models.build import build
from components.training.optimizer import build_optimizer, optimizer_state, restore_optimizer, set_learning_rate


def _network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4 * 4, 5)
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]  # torch's stub knows it not


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    images = torch.rand(8, 3, 6, 6, generator=generator)
    labels = torch.randint(0, 5, (8,), generator=generator)
    optimizer.zero_grad()
    functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]  # torch leaves it without types
    set_learning_rate(optimizer, 0.01 * (1 + step % 3))
    optimizer.step()


def _line(spec: TrainSpec) -> tuple[nn.Linear, torch.optim.Optimizer]:
    """y = 2 x + 3."""
    network = nn.Linear(1, 1)
    nn.init.constant_(network.weight, 2.0)
    nn.init.constant_(network.bias, 3.0)
    optimizer = build_optimizer(spec, network)
    set_learning_rate(optimizer, 0.01)
    return network, optimizer


def _give(network: nn.Linear, weight: float, bias: float) -> None:
    network.weight.grad = torch.full((1, 1), weight)
    network.bias.grad = torch.full((1,), bias)


def test_one_step_of_adamw_by_hand() -> None:
    """With fresh moments the step is the learning rate times the gradient's sign; decay is for matrices only."""
    network, optimizer = _line(TrainSpec(weight_decay=0.1))
    _give(network, -4.0, 0.5)
    optimizer.step()
    assert network.weight.item() == pytest.approx(2.0 * (1 - 0.01 * 0.1) + 0.01)
    assert network.bias.item() == pytest.approx(3.0 - 0.01)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_two_steps_of_sgd_by_hand(momentum: float) -> None:
    """Nesterov: down the gradient and the velocity that it leads to; decay is added to a matrix's gradient."""
    network, optimizer = _line(TrainSpec(optimizer="sgd", weight_decay=0.1, momentum=momentum))
    weight, bias, velocity_weight, velocity_bias = 2.0, 3.0, 0.0, 0.0
    for _ in range(2):
        _give(network, -4.0, 0.5)
        optimizer.step()
        velocity_weight = momentum * velocity_weight + (-4.0 + 0.1 * weight)
        velocity_bias = momentum * velocity_bias + 0.5
        weight -= 0.01 * (-4.0 + 0.1 * weight + momentum * velocity_weight)
        bias -= 0.01 * (0.5 + momentum * velocity_bias)
    assert network.weight.item() == pytest.approx(weight)
    assert network.bias.item() == pytest.approx(bias)


@pytest.mark.parametrize("stop_after", [0, 1, 4])
@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, {"step", "exp_avg", "exp_avg_sq"}),
        ({"optimizer": "sgd"}, {"momentum_buffer"}),
        ({"optimizer": "sgd", "momentum": 0.0}, set()),
    ],
)
def test_goes_on_from_a_file_bit_for_bit(settings: dict[str, object], names: set[str], stop_after: int) -> None:
    spec = TrainSpec.model_validate(settings)
    through, halves = _network(), _network()
    first = build_optimizer(spec, through)
    second = build_optimizer(spec, halves)
    for step in range(8):
        if step == stop_after:
            state = optimizer_state(second)
            assert set(state) == {f"{index}.{name}" for index in range(5) for name in names if stop_after}
            file = safetensors.torch.save({key: value.contiguous() for key, value in state.items()})
            second = build_optimizer(spec, halves)
            restore_optimizer(second, safetensors.torch.load(file))
            uninterrupted = optimizer_state(first)
            for name, value in optimizer_state(second).items():
                assert torch.equal(value, uninterrupted[name])
                assert value.stride() == uninterrupted[name].stride()
        _step(through, first, step)
        _step(halves, second, step)
    for mine, yours in zip(through.parameters(), halves.parameters(), strict=True):
        assert torch.equal(mine, yours)


def test_restoring_leaves_what_it_was_given_alone() -> None:
    network = _network()
    optimizer = build_optimizer(TrainSpec(), network)
    _step(network, optimizer, 0)
    state = {key: value.clone() for key, value in optimizer_state(optimizer).items()}
    restore_optimizer(optimizer, state)
    _step(network, optimizer, 1)
    assert state["0.step"].item() == 1.0
    assert optimizer_state(optimizer)["0.step"].item() == 2.0


def test_tables_of_positions_and_mambas_rates_are_not_decayed() -> None:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    text, images = (
        TokensInput(vocabulary=9, max_length=8),
        ImageInput(height=8, width=8, channels=3, mean=[0.5] * 3, std=[1.0] * 3),
    )
    undecayed: dict[str, set[str]] = {}
    for name, family, input_spec, sizes in (
        ("encoder", "transformer", text, {"depth": 1, "width": 8, "heads": 2, "positions": "learned"}),
        ("mamba", "state-space", text, {"depth": 1, "width": 8}),
        ("vit", "transformer", images, {"depth": 1, "width": 12}),
        ("bert", "transformer", text, {"depth": 1, "width": 8, "heads": 2, "inner": 8, "positions": 9}),
    ):
        spec = adapter.validate_python({"family": family, "name": name, **sizes})
        network = build(spec, input_spec, ClassesOutput(classes=2))
        groups = build_optimizer(TrainSpec(weight_decay=0.1), network).param_groups
        plain = {id(weight) for group in groups if group["weight_decay"] == 0 for weight in group["params"]}
        assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
        undecayed[name] = {key for key, value in network.named_parameters() if id(value) in plain and value.ndim >= 2}
    assert undecayed["encoder"] == {"positions.table"}
    assert {key.rpartition(".")[2] for key in undecayed["mamba"]} == {"A_log"}
    assert {key.rpartition(".")[2] for key in undecayed["vit"]} == {"cls_token", "position_embeddings"}
    assert undecayed["bert"] == {"encoder.embeddings.position_embeddings.weight"}
