from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from components.contracts.architectures.series import SeriesCnnSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.models.build import build
from components.models.series_cnn import SeriesCnn
from tests.models.export import Graph, padding_changes_nothing, sequences_agree

SERIES = SeriesInput(channels=2, max_length=17, mean=[1.0, -1.0], std=[2.0, 0.5])


def _network(**settings: Any) -> SeriesCnn:
    torch.manual_seed(0)
    config = SeriesCnnSpec(family="cnn", name="series-cnn", width=4, **settings)
    network = build(config, SERIES, ClassesOutput(classes=3))
    assert isinstance(network, SeriesCnn)
    for name, value in network.named_buffers():
        if "running" in name:  # as after a training
            nn.init.uniform_(value, 0.5, 2.0)
    return network.eval()


def _values(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 17, 2, generator=torch.Generator().manual_seed(1))


def test_is_the_same_as_the_layers_written_out() -> None:
    network, series = _network(depth=2, window=3), _values()[:, :16]
    features = ((series - torch.tensor([1.0, -1.0])) / torch.tensor([2.0, 0.5])).transpose(1, 2)
    for block in network.blocks:
        norm = nn.BatchNorm1d(block.convolution.out_channels)
        norm.load_state_dict(block.norm.state_dict(), strict=False)
        features = nn.functional.max_pool1d(norm.eval()(block.convolution(features)).relu(), 2)
    assert features.shape == (5, 8, 4)
    torch.testing.assert_close(network(series), network.head(features.mean(dim=2)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_padding_changes_nothing(pooling: str, depth: int) -> None:
    padding_changes_nothing(_network(pooling=pooling, depth=depth), _values())


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_its_graph(pooling: str) -> None:
    sequences_agree(_network(pooling=pooling), _values())


def test_whole_series_need_no_lengths() -> None:
    network = _network()
    torch.testing.assert_close(network(_values()), network(_values(), torch.full((5,), 17)))
    Graph(network, {"series": _values(1)}, {"series": (0,)}).agrees(_values(4))


def test_padding_teaches_nothing_either() -> None:
    """The same batch with more padding leaves the same gradients and the same running statistics."""
    lengths, series = torch.tensor([9, 4, 1]), _values(3)
    series[1, 4:], series[2, 1:] = 0, 0
    left = []
    for max_length in (9, 17):
        network = _network(dropout=0.0).train()
        network(series[:, :max_length] * (torch.arange(max_length) < 9)[:, None], lengths).square().sum().backward()
        left.append([value.grad for value in network.parameters()] + list(network.buffers()))
    for short, long in zip(*left, strict=True):
        torch.testing.assert_close(short, long, atol=1e-5, rtol=1e-4)


def test_a_window_without_a_middle_is_refused() -> None:
    with pytest.raises(ValidationError, match="window is odd; the nearest is 5"):
        _network(window=4)
