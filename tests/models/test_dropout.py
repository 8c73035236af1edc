"""Dropout with few random bits is dropout."""

import pytest
import torch
from torch import nn

from components.models.dropout import Dropout, use_fast_dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p_and_the_mean_stays(p: float) -> None:
    torch.manual_seed(0)
    input_spec = torch.ones(1_000_003)
    found = Dropout(p)(input_spec)
    dropped = (found == 0).double().mean().item()
    assert dropped == pytest.approx(p, abs=4 * (p * (1 - p) / 1e6) ** 0.5)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=2e-4)
    assert found.double().mean().item() == pytest.approx(1.0, abs=5 * (p / (1 - p) / 1e6) ** 0.5)


def test_places_are_dropped_independently() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(400_001)) > 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8):
        assert abs((kept[:-distance] * kept[distance:]).mean().item()) < 0.25 * 5 / 400_000**0.5


def test_the_gradient_goes_where_values_were_kept() -> None:
    torch.manual_seed(0)
    input_spec = torch.randn(3, 5, 7, requires_grad=True)
    found = Dropout(0.4)(input_spec)
    found.sum().backward()
    assert input_spec.grad is not None
    assert torch.equal(input_spec.grad * input_spec, found)
    assert 0 < (found == 0).sum() < found.numel()


def test_the_same_seed_drops_the_same() -> None:
    layer, input_spec = Dropout(0.3), torch.ones(100)
    torch.manual_seed(5)
    first = layer(input_spec)
    assert not torch.equal(layer(input_spec), first)
    torch.manual_seed(5)
    assert torch.equal(layer(input_spec), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layout_and_type_are_kept(dtype: torch.dtype) -> None:
    input_spec = torch.randn(2, 3, 4, 5, dtype=dtype).to(memory_format=torch.channels_last)
    found = Dropout(0.5)(input_spec)
    assert found.stride() == input_spec.stride()
    assert found.dtype is dtype
    scaled = torch.isclose(found.float(), 2 * input_spec.float())
    assert torch.all(scaled | (found == 0))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all(p: float) -> None:
    assert torch.equal(Dropout(p)(torch.ones(9)), torch.full((9,), 1 - p))


def test_evaluation_changes_nothing() -> None:
    input_spec = torch.randn(10)
    assert Dropout(0.9).eval()(input_spec) is input_spec


def test_it_takes_the_place_of_torchs_own() -> None:
    network = nn.Sequential(nn.Dropout(0.2), nn.ModuleList([nn.Dropout(0.3)]), nn.Dropout2d(0.4), nn.Linear(2, 2))
    network.eval()
    use_fast_dropout(network)
    assert [type(module) for module in network.modules() if hasattr(module, "p")] == [Dropout, Dropout, nn.Dropout2d]
    assert [module.p for module in network.modules() if isinstance(module, Dropout)] == [0.2, 0.3]
    assert not any(module.training for module in network.modules())
