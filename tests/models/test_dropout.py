"""Dropout with few random bits is dropout."""

import pytest
import torch
from torch import nn

from components.models.dropout import Dropout, draw_little


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p_and_the_mean_stays(p: float) -> None:
    torch.manual_seed(0)
    given = torch.ones(1_000_003)
    found = Dropout(p)(given)
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
    given = torch.randn(3, 5, 7, requires_grad=True)
    found = Dropout(0.4)(given)
    found.sum().backward()
    assert given.grad is not None
    assert torch.equal(given.grad * given, found)
    assert 0 < (found == 0).sum() < found.numel()


def test_the_same_seed_drops_the_same() -> None:
    layer, given = Dropout(0.3), torch.ones(100)
    torch.manual_seed(5)
    first = layer(given)
    assert not torch.equal(layer(given), first)
    torch.manual_seed(5)
    assert torch.equal(layer(given), first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_layout_and_type_are_kept(dtype: torch.dtype) -> None:
    given = torch.randn(2, 3, 4, 5, dtype=dtype).to(memory_format=torch.channels_last)
    found = Dropout(0.5)(given)
    assert found.stride() == given.stride()
    assert found.dtype is dtype
    scaled = torch.isclose(found.float(), 2 * given.float())
    assert torch.all(scaled | (found == 0))


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all(p: float) -> None:
    assert torch.equal(Dropout(p)(torch.ones(9)), torch.full((9,), 1 - p))


def test_evaluation_changes_nothing() -> None:
    given = torch.randn(10)
    assert Dropout(0.9).eval()(given) is given


def test_it_takes_the_place_of_torchs_own() -> None:
    network = nn.Sequential(nn.Dropout(0.2), nn.ModuleList([nn.Dropout(0.3)]), nn.Dropout2d(0.4), nn.Linear(2, 2))
    network.eval()
    draw_little(network)
    assert [type(module) for module in network.modules() if hasattr(module, "p")] == [Dropout, Dropout, nn.Dropout2d]
    assert [module.p for module in network.modules() if isinstance(module, Dropout)] == [0.2, 0.3]
    assert not any(module.training for module in network.modules())
