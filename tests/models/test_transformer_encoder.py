from typing import Any

import pytest
import torch
from pydantic import ValidationError

from components.contracts.architectures.transformer import EncoderSpec
from components.contracts.shapes import ClassesOutput, SeriesInput, TokenClassesOutput, TokensInput
from components.core.errors import UsageError
from components.models.build import build
from components.models.transformer_encoder import TransformerEncoder
from tests.models.export import Graph, padding_changes_nothing, sequences_agree

TEXT = TokensInput(vocabulary=30, max_length=12)
SERIES = SeriesInput(channels=2, max_length=12, mean=[1.0, -1.0], std=[2.0, 0.5])


def _spec(**settings: Any) -> EncoderSpec:
    return EncoderSpec(family="transformer", name="encoder", width=8, heads=2, depth=2, **settings)


def _tokens(rows: int = 5) -> torch.Tensor:
    return torch.randint(1, 30, (rows, 12), generator=torch.Generator().manual_seed(1))


def _values(rows: int = 5) -> torch.Tensor:
    return torch.randn(rows, 12, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_of_texts_padding_changes_nothing(pooling: str, norm: str, positions: str) -> None:
    network = build(_spec(pooling=pooling, norm=norm, positions=positions), TEXT, ClassesOutput(classes=3))
    padding_changes_nothing(network, _tokens())


@pytest.mark.parametrize("patch", [1, 5])
def test_of_series_padding_changes_nothing(patch: int) -> None:
    padding_changes_nothing(build(_spec(patch=patch), SERIES, ClassesOutput(classes=3)), _values())


def test_of_every_token_padding_changes_nothing() -> None:
    network = build(_spec(), TEXT, TokenClassesOutput(classes=4))
    assert network(_tokens(), torch.full((5,), 12)).shape == (5, 12, 4)
    padding_changes_nothing(network, _tokens(), every_place=True)


@pytest.mark.parametrize("pooling", ["mean", "max", "attention"])
def test_the_graph_of_texts(pooling: str) -> None:
    sequences_agree(build(_spec(pooling=pooling), TEXT, ClassesOutput(classes=3)), _tokens())


def test_the_graph_of_every_token() -> None:
    sequences_agree(build(_spec(), TEXT, TokenClassesOutput(classes=3)), _tokens(), (0, 1))


@pytest.mark.parametrize("patch", [1, 5])
def test_the_graph_of_series(patch: int) -> None:
    sequences_agree(build(_spec(patch=patch), SERIES, ClassesOutput(classes=3)), _values())


def test_whole_series_need_no_lengths() -> None:
    network = build(_spec(patch=5), SERIES.model_copy(update={"fixed": True}), ClassesOutput(classes=3)).eval()
    torch.testing.assert_close(network(_values()), network(_values(), torch.full((5,), 12)))
    Graph(network, {"series": _values(1)}, {"series": (0,)}).agrees(_values(4))


def test_order_matters() -> None:
    network = build(_spec(), TEXT, ClassesOutput(classes=3)).eval()
    tokens, lengths = _tokens(1), torch.tensor([12])
    assert not torch.allclose(network(tokens, lengths), network(tokens.flip(1), lengths), atol=1e-3)


def test_has_the_parameters_counted_by_hand() -> None:
    network = build(_spec(inner=16), TEXT, ClassesOutput(classes=3))
    layer = 4 * (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 2 * 2 * 8
    assert sum(value.numel() for value in network.parameters()) == 30 * 8 + 2 * layer + 2 * 8 + (8 * 3 + 3)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="3 heads do not divide"):
        EncoderSpec(family="transformer", name="encoder", width=8, heads=3)
    with pytest.raises(UsageError, match="patches of one step") as caught:
        build(_spec(patch=5), SERIES, TokenClassesOutput(classes=3))
    assert caught.value.where == "model.patch"


def test_is_what_its_spec_names() -> None:
    assert isinstance(build(_spec(), TEXT, ClassesOutput(classes=3)), TransformerEncoder)
