from typing import Any

import pytest
import torch
from torch import nn

from components.contracts.architectures.series import SpectrogramCnnSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.models.build import build
from components.models.spectrogram_cnn import SpectrogramCnn
from tests.models.export import Graph, padding_changes_nothing, sequences_agree

BANDS = 10
FRAMES = SeriesInput(channels=BANDS, max_length=17, mean=[-2.0] * BANDS, std=[3.0] * BANDS)


def _network(**settings: Any) -> SpectrogramCnn:
    torch.manual_seed(0)
    config = SpectrogramCnnSpec(family="cnn", name="spectrogram-cnn", width=4, **settings)
    network = build(config, FRAMES, ClassesOutput(classes=3))
    assert isinstance(network, SpectrogramCnn)
    for name, value in network.named_buffers():
        if "running" in name:  # as after a training
            nn.init.uniform_(value, 0.5, 2.0)
    return network.eval()


def _values(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 17, BANDS, generator=torch.Generator().manual_seed(1))


def test_is_the_same_as_the_layers_written_out() -> None:
    network, frames = _network(depth=1, convolutions=2), _values()[:, :16]
    features = ((frames + 2) / 3)[:, None]
    (block,) = network.blocks
    for convolution, ours in zip(block.convolutions, block.norms, strict=True):
        norm = nn.BatchNorm2d(4)
        norm.load_state_dict(ours.state_dict(), strict=False)
        features = norm.eval()(convolution(features)).relu()
    features = nn.functional.max_pool2d(features, 2)
    assert features.shape == (5, 4, 8, 5)
    expected = network.head(features.mean(dim=2).flatten(1))
    torch.testing.assert_close(network(frames), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_padding_changes_nothing(pooling: str, depth: int) -> None:
    padding_changes_nothing(_network(pooling=pooling, depth=depth), _values())


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_its_graph(pooling: str) -> None:
    sequences_agree(_network(pooling=pooling), _values())


def test_whole_series_need_no_lengths() -> None:
    network = _network()
    torch.testing.assert_close(network(_values()), network(_values(), torch.full((5,), 17)))
    Graph(network, {"series": _values(1)}, {"series": (0,)}).agrees(_values(4))
