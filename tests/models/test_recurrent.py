from typing import Any

import pytest
import torch
from torch import nn

from components.contracts.architectures.rnn import RecurrentSpec
from components.contracts.shapes import ClassesOutput, ForecastOutput, SeriesInput, TokenClassesOutput, TokensInput
from components.core.errors import UsageError
from components.models.build import build
from tests.models.export import Graph, padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)
SERIES = SeriesInput(channels=2, max_length=12, mean=[1.0, -1.0], std=[2.0, 0.5])
WHOLE = SERIES.model_copy(update={"fixed": True})
FORECAST = ForecastOutput(horizon=4, channels=2, quantiles=[0.1, 0.5, 0.9])
CELLS = ["rnn", "lstm", "gru"]


def _spec(name: str = "lstm", **settings: Any) -> RecurrentSpec:
    return RecurrentSpec.model_validate({"family": "rnn", "name": name, "width": 5, "embedding": 6, **settings})


def _tokens(rows: int = 5) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


def _values(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 12, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("pooling", ["last", "attention"])
@pytest.mark.parametrize(("depth", "bidirectional"), [(1, False), (2, True)])
def test_of_texts_padding_changes_nothing(name: str, pooling: str, depth: int, bidirectional: bool) -> None:
    config = _spec(name, pooling=pooling, depth=depth, bidirectional=bidirectional)
    padding_changes_nothing(build(config, TEXT, ClassesOutput(classes=3)), _tokens())


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_of_series_padding_changes_nothing(pooling: str) -> None:
    network = build(_spec("gru", pooling=pooling, bidirectional=True), SERIES, ClassesOutput(classes=3))
    padding_changes_nothing(network, _values())


def test_of_every_token_padding_changes_nothing() -> None:
    network = build(_spec(bidirectional=True), TEXT, TokenClassesOutput(classes=3))
    assert network(_tokens(), torch.full((5,), 12)).shape == (5, 12, 3)
    padding_changes_nothing(network, _tokens(), every_place=True)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("pooling", ["last", "attention"])
@pytest.mark.parametrize(("depth", "bidirectional"), [(1, False), (2, True)])
def test_the_graph_of_texts(name: str, pooling: str, depth: int, bidirectional: bool) -> None:
    config = _spec(name, pooling=pooling, depth=depth, bidirectional=bidirectional)
    sequences_agree(build(config, TEXT, ClassesOutput(classes=3)), _tokens())


def test_the_graphs_of_series_and_of_every_token() -> None:
    sequences_agree(build(_spec("gru"), SERIES, ClassesOutput(classes=3)), _values())
    sequences_agree(build(_spec(bidirectional=True), TEXT, TokenClassesOutput(classes=3)), _tokens(), (0, 1))


@pytest.mark.parametrize("pooling", ["last", "attention"])
def test_whole_series_need_no_lengths(pooling: str) -> None:
    network = build(_spec(pooling=pooling), WHOLE, ClassesOutput(classes=2)).eval()
    torch.testing.assert_close(network(_values()), network(_values(), torch.full((5,), 12)))
    Graph(network, {"series": _values(1)}, {"series": (0,)}).agrees(_values(4))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_forecast_and_its_graph(name: str, pooling: str) -> None:
    network = build(_spec(name, pooling=pooling), WHOLE, FORECAST).eval()
    assert network(_values()).shape == (5, 4, 2, 3)
    Graph(network, {"past": _values(1)}, {"past": (0,)}).agrees(_values(4))


def test_a_forecast_follows_the_level_and_the_spread_of_its_series() -> None:
    network = build(_spec(), WHOLE, FORECAST).eval()
    torch.testing.assert_close(network(_values() * 3 + 50), network(_values()) * 3 + 50, atol=1e-3, rtol=1e-3)


def test_without_instance_norm_a_silent_head_says_the_mean_of_the_train_split() -> None:
    network = build(_spec(instance_norm=False), WHOLE, FORECAST)
    nn.init.zeros_(network.get_parameter("head.weight"))
    nn.init.zeros_(network.get_parameter("head.bias"))
    assert torch.equal(network(_values())[0, 0, :, 0], torch.tensor([1.0, -1.0]))


def test_a_forecast_of_a_text_is_refused() -> None:
    with pytest.raises(UsageError, match="series of one length"):
        build(_spec(), TEXT, FORECAST)
