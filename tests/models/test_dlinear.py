from typing import Any

import pytest
import torch
from pydantic import ValidationError

from components.contracts.architectures.series import DLinearSpec
from components.contracts.shapes import ForecastOutput, SeriesInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.dlinear import DLinear
from tests.models.export import Graph

SERIES = SeriesInput(channels=2, max_length=12, mean=[1.0, -1.0], std=[2.0, 0.5], fixed=True)


def _network(quantiles: list[float] | None = None, **settings: Any) -> DLinear:
    torch.manual_seed(0)
    config = DLinearSpec(family="linear", name="dlinear", window=5, **settings)
    network = build(config, SERIES, ForecastOutput(horizon=4, channels=2, quantiles=quantiles or [0.5]))
    assert isinstance(network, DLinear)
    return network.eval()


def _values(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 12, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("individual", [True, False])
def test_is_the_papers_formula_step_by_step(individual: bool) -> None:
    network, past = _network(individual=individual), _values(1)
    found = network(past)
    assert found.shape == (1, 4, 2, 1)
    for channel, (mean, std) in enumerate([(1.0, 2.0), (-1.0, 0.5)]):
        steps = ((past[0, :, channel] - mean) / std).tolist()
        around = [steps[0]] * 2 + steps + [steps[-1]] * 2
        trend = torch.tensor([sum(around[step : step + 5]) / 5 for step in range(12)])
        remainder = torch.tensor(steps) - trend
        layer = channel if individual else 0
        expected = trend @ network.trend.weight[layer] + network.trend.bias[layer]
        expected = expected + remainder @ network.remainder.weight[layer] + network.remainder.bias[layer]
        torch.testing.assert_close(found[0, :, channel, 0], expected * std + mean, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("individual", [True, False])
@pytest.mark.parametrize("instance_norm", [True, False])
def test_quantiles_and_the_graph(individual: bool, instance_norm: bool) -> None:
    network = _network([0.1, 0.5, 0.9], individual=individual, instance_norm=instance_norm)
    assert network(_values()).shape == (5, 4, 2, 3)
    Graph(network, {"past": _values(1)}, {"past": (0,)}).agrees(_values(4))


def test_with_instance_norm_it_follows_the_level_and_the_spread_of_its_series() -> None:
    network = _network(instance_norm=True)
    torch.testing.assert_close(network(_values() * 3 + 50), network(_values()) * 3 + 50, atol=1e-3, rtol=1e-3)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="window is odd"):
        DLinearSpec(family="linear", name="dlinear", window=4)
    with pytest.raises(UsageError, match="series of one length"):
        build(
            DLinearSpec(family="linear", name="dlinear"),
            SERIES.model_copy(update={"fixed": False}),
            ForecastOutput(horizon=4, channels=2, quantiles=[0.5]),
        )
