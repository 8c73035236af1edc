"""Batch normalisation over several ranks, against torch's over the whole batch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from components.models.patchtst import ChannelBatchNorm
from components.training.synced_batch_norm import synchronise


def _alone(values: Tensor) -> Tensor:
    return values


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (nn.BatchNorm1d(5), (7, 5)),
        (nn.BatchNorm1d(5, momentum=None), (7, 5, 3)),
        (nn.BatchNorm2d(5, affine=False), (4, 5, 3, 2)),
        (nn.BatchNorm2d(5, track_running_stats=False), (4, 5, 3, 2)),
        (nn.BatchNorm3d(5), (2, 5, 3, 2, 2)),
        (ChannelBatchNorm(5), (4, 3, 5)),
    ],
)
def test_on_one_rank_it_is_torchs(norm: nn.BatchNorm1d, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    if norm.affine:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    synced = copy.deepcopy(norm)
    assert synchronise(synced, _alone) == 1
    for _ in range(2):
        features = 3 * torch.randn(shape) + 100  # a mean far from zero: sums of squares would cancel
        one, other = features.clone().requires_grad_(), features.clone().requires_grad_()
        factors = torch.randn(shape)
        for module, values in ((norm, one), (synced, other)):
            module.zero_grad()
            (module(values) * factors).sum().backward()
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-4)
        for parameter, expected in zip(synced.parameters(), norm.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, expected.grad, rtol=1e-4, atol=1e-4)
    for name, expected in norm.state_dict().items():
        torch.testing.assert_close(synced.state_dict()[name], expected, msg=name)
    norm.eval()
    synced.eval()
    torch.testing.assert_close(synced(features), norm(features), rtol=1e-4, atol=1e-4)


def test_two_shares_are_normalised_as_one_batch() -> None:
    """Each share in turn, with the other's sums from a first pass: what an all-reduce gives."""
    torch.manual_seed(0)
    features = torch.randn(10, 4, 3)
    shares = [features[::2][:3], torch.cat([features[1::2], features[::2][3:]])]  # 3 and 7 samples
    sums: list[Tensor] = []

    def record(values: Tensor) -> Tensor:
        sums.append(values.clone())
        return values

    for share in shares:
        norm = nn.BatchNorm1d(4)
        synchronise(norm, record)
        norm(share)
    reference = nn.BatchNorm1d(4)
    expected = reference(torch.cat(shares)).split([3, 7])
    for share, part in zip(shares, expected, strict=True):
        norm = nn.BatchNorm1d(4)
        synchronise(norm, lambda _: sums[0] + sums[1])
        torch.testing.assert_close(norm(share), part)
        torch.testing.assert_close(norm.running_var, reference.running_var)
