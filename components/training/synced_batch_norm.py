"""Batch normalisation over the whole batch of all ranks: Ioffe and Szegedy 2015, arXiv:1502.03167.

torch's `SyncBatchNorm` needs GPUs; this one also works on CPUs, and with subclasses of torch's batch normalisations.

Legend: N batch of a rank, C channels, ... positions, M values of a channel on all ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional

from components.models.masked_batch_norm import MaskedBatchNorm

Total = Callable[[Tensor], Tensor]  # the sum over the ranks, in place


class _Normalise(torch.autograd.Function):
    """Normalise by the statistics of all ranks; statistics are added up in float64."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, eps: float, total: Total) -> Any:
        own_mean, own_variance = torch.batch_norm_update_stats(features.float(), None, None, 0.0)  # (C,), (C,)
        places = features.numel() // features.shape[1]
        mean, variance = own_mean.double(), own_variance.double()
        sums = torch.stack([mean * places, (variance + mean.square()) * places, torch.full_like(mean, places)])
        sum_, squares, count = total(sums).unbind()  # (C,) each
        mean = sum_ / count
        variance = (squares / count - mean.square()).clamp(min=0)
        mean, variance = mean.to(weight.dtype), variance.to(weight.dtype)
        ctx.save_for_backward(features, weight, mean, variance)
        ctx.eps, ctx.total, ctx.count = eps, total, count[0]
        outputs = functional.batch_norm(features, mean, variance, weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, variance)
        return outputs, mean, variance, count[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        features, weight, mean, variance = ctx.saved_tensors
        gradient, inverse = gradients[0], torch.rsqrt(variance + ctx.eps)  # inverse: (C,)
        # torch's own backward pass, which with the mean and deviation of all ranks in place of this one's gives
        # dx = w / s (dy - sum(dy) / m - xhat sum(dy xhat) / m), section 3 of the paper, with the sums and the number
        # of values m of this rank.
        own, product, sum_ = torch.ops.aten.native_batch_norm_backward(
            gradient, features, weight, None, None, mean, inverse, True, ctx.eps, [True, True, True]
        )  # (N, C, ...), (C,), (C,)
        places = features.numel() // features.shape[1]
        means = ctx.total(torch.stack([sum_, product]).double()) / ctx.count  # (2, C)
        # What the means over all ranks change in it: w / s (own mean(dy) - mean(dy) + xhat (the same of dy xhat)).
        changes = (torch.stack([sum_, product]) / places - means).to(weight.dtype) * (weight * inverse)  # (2, C)
        offset, slope = changes.unbind()
        correction = functional.batch_norm(features, mean, variance, slope, offset, training=False, eps=ctx.eps)
        return own.add_(correction), product.to(weight.dtype), sum_.to(weight.dtype), None, None


class _Synced(nn.modules.batchnorm._BatchNorm):
    """Overrides `forward` of torch's batch normalisations in training; the weights and their names stay."""

    total: Total

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, ...) to (N, C, ...)."""
        if not self.training:
            return super().forward(features)
        weight = self.weight if self.weight is not None else features.new_ones(self.num_features)
        bias = self.bias if self.bias is not None else features.new_zeros(self.num_features)
        outputs, mean, variance, count = _Normalise.apply(  # type: ignore[no-untyped-call]  # torch leaves it untyped
            features, weight, bias, self.eps, self.total
        )
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                unbiased = variance * (count / (count - 1).clamp(min=1)).to(variance.dtype)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        normalised: Tensor = outputs
        return normalised


class _Synced1d(_Synced, nn.BatchNorm1d):
    """(N, C) or (N, C, L)."""


class _Synced2d(_Synced, nn.BatchNorm2d):
    """(N, C, H, W)."""


class _Synced3d(_Synced, nn.BatchNorm3d):
    """(N, C, D, H, W)."""


def synchronise(network: nn.Module, total: Total) -> int:
    """Let all batch normalisations of a network use the statistics of all ranks; returns their number.

    Args:
        total: the sum over the ranks, in place.
    """
    count = 0
    for module in network.modules():
        if isinstance(module, MaskedBatchNorm):
            module.total = all_reduce  # with a gradient
            count += 1
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.__class__ = _synced_class(type(module))
            cast(_Synced, module).total = total
            count += 1
    return count


def _synced_class(kind: type[Any]) -> type[Any]:
    """The class of a batch normalisation, with `_Synced.forward` in place of torch's."""
    for plain, synced in ((nn.BatchNorm1d, _Synced1d), (nn.BatchNorm2d, _Synced2d), (nn.BatchNorm3d, _Synced3d)):
        if kind is plain:
            return synced
        if issubclass(kind, plain):
            return type(f"Synced{kind.__name__}", (kind, synced), {})
    raise TypeError(f"{kind.__name__} is no batch normalisation of torch")
