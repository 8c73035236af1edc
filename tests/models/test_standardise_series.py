"""Series standardised inside the network: by the train split, and by their own mean and spread where that is wanted."""

import pytest
import torch
from torch import Tensor

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.rnn import RecurrentSpec
from components.contracts.architectures.series import SeriesCnnSpec
from components.contracts.architectures.transformer import EncoderSpec
from components.contracts.shapes import ClassesOutput, SeriesInput
from components.models.build import build
from components.models.standardise_series import StandardiseSeries
from tests.models.export import padding_changes_nothing, sequences_agree

GIVEN = SeriesInput(channels=2, max_length=9, mean=[1.0, -1.0], std=[2.0, 0.5])
OWN = GIVEN.model_copy(update={"instance_norm": True})
LENGTHS = torch.tensor([9, 5, 2])


def series() -> Tensor:
    """(3, 9, 2), padded with zeros."""
    values = torch.randn(3, 9, 2, generator=torch.Generator().manual_seed(0)) * 3 + 7
    for row, length in enumerate(LENGTHS.tolist()):
        values[row, length:] = 0
    return values


def test_it_is_the_formula_and_padding_stays_zero() -> None:
    found = StandardiseSeries(GIVEN)(series(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        expected = (series()[row, :length] - torch.tensor([1.0, -1.0])) / torch.tensor([2.0, 0.5])
        torch.testing.assert_close(found[row, :length], expected)
        assert (found[row, length:] == 0).all()


def test_each_by_its_own_has_mean_zero_and_spread_one_over_what_is_no_padding() -> None:
    found = StandardiseSeries(OWN)(series(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[row, :length].mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
        torch.testing.assert_close(found[row, :length].std(dim=0, correction=0), torch.ones(2), atol=1e-3, rtol=0)
        assert (found[row, length:] == 0).all()
    alone = StandardiseSeries(OWN)(series()[1:2, :5])
    torch.testing.assert_close(found[1:2, :5], alone)


def test_a_series_that_stands_still_is_finite() -> None:
    assert (StandardiseSeries(OWN)(torch.full((1, 9, 2), 4.0)).abs() < 1e-3).all()


@pytest.mark.parametrize(
    "config",
    [
        RecurrentSpec(family="rnn", name="gru", width=8),
        SeriesCnnSpec(family="cnn", name="series-cnn", width=8),
        EncoderSpec(family="transformer", name="encoder", width=8, heads=2, depth=1),
    ],
    ids=lambda config: config.family,
)
def test_level_and_spread_then_change_no_answer(config: ArchitectureSpec) -> None:
    torch.manual_seed(0)
    network = build(config, OWN, ClassesOutput(classes=3)).eval()
    values = series()
    inside = (torch.arange(9) < LENGTHS[:, None])[..., None]
    moved = (values * 4 + 30) * inside
    torch.testing.assert_close(network(moved, LENGTHS), network(values, LENGTHS), atol=1e-3, rtol=1e-3)
    padding_changes_nothing(network, torch.randn(5, 9, 2))
    sequences_agree(network, torch.randn(5, 9, 2))
    torch.manual_seed(0)
    plain = build(config, GIVEN, ClassesOutput(classes=3)).eval()
    assert not torch.allclose(plain(moved, LENGTHS), plain(values, LENGTHS), atol=1e-2)
