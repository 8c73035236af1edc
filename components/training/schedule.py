"""The learning rate of each batch, as a pure function of the step and of the validation figures so far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from components.contracts.loop_spec import PlateauSpec, Schedule
from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError

WARM_UP_SHARE = 0.3
FIRST_DIVISOR = 25.0
LAST_DIVISOR = 1e4


def step_rate(spec: TrainSpec, step: int, total_steps: int) -> float:
    """The learning rate of a train spec for a step; of `plateau`, that without a reduction."""
    warmup = spec.warmup_steps or spec.warmup_ratio * total_steps
    return learning_rate(spec.schedule, spec.learning_rate, step, total_steps, warmup, spec.decay_ratio)


def check_warmup(spec: TrainSpec, total_steps: int) -> None:
    """Refuse a warm-up that the training ends in: the rate would never reach `learning_rate`.

    Raises:
        UsageError: it is longer than the training.
    """
    if spec.warmup_steps <= total_steps:
        return
    highest = max(step_rate(spec, step, total_steps) for step in (0, total_steps - 1))
    raise UsageError(
        "the warm-up is longer than the training: the learning rate never reaches its peak",
        where="train.warmup_steps",
        got=f"{spec.warmup_steps:,} steps; the highest rate would be {highest:.3g} of {spec.learning_rate:g}",
        expected=f"at most {total_steps:,}, the steps of {spec.epochs} epochs with batch_size {spec.batch_size}",
        next_step="lower train.warmup_steps, set train.warmup_ratio instead, or raise train.epochs",
    )


def learning_rate(
    schedule: Schedule, peak: float, step: int, total_steps: int, warmup: float = 0.0, decay_ratio: float = 0.1
) -> float:
    """The learning rate for a step.

    constant, plateau: peak. cosine: peak/2 (1 + cos(pi t)), t = step / total (Loshchilov and Hutter 2017,
    arXiv:1608.03983, eq. 5, one cycle). step: a tenth after half of the steps, a hundredth after three quarters (He et
    al. 2015, arXiv:1512.03385, section 4.2). wsd: peak, then over the last `decay_ratio` of the steps peak (1 -
    sqrt(t)), t from 0 to 1 (Hu et al. 2024, arXiv:2404.06395; the form of the decay by Haegele et al. 2024,
    arXiv:2405.18392). onecycle: cosine from peak/25 up to peak over the first 30 %, then cosine down to peak/25e4
    (Smith and Topin 2018, arXiv:1708.07120, in the two-phase form of torch's OneCycleLR).

    Args:
        step: 0 for the first batch.
        total_steps: batches of the whole training.
        warmup: steps of a linear rise to the peak (Goyal et al. 2017, arXiv:1706.02677, section 2.2), after which the
            schedule begins and has the remaining steps; of onecycle, the length of its first phase.
        decay_ratio: of wsd.
    """
    if schedule == "onecycle":
        return _one_cycle(peak, step, total_steps, warmup or WARM_UP_SHARE * total_steps)
    if step < warmup:
        return peak * min(1.0, (step + 1) / warmup)
    if schedule in ("constant", "plateau"):
        return peak
    if schedule == "wsd":
        decay = max(1.0, decay_ratio * total_steps)
        return peak * (1 - math.sqrt(max(0.0, step - (total_steps - decay)) / decay))
    step, total_steps = step - math.ceil(warmup), max(1, total_steps - math.ceil(warmup))
    if schedule == "cosine":
        return _anneal(peak, 0.0, step / total_steps)
    return peak * (1.0 if 2 * step < total_steps else 0.1 if 4 * step < 3 * total_steps else 0.01)


def plateau_factor(spec: PlateauSpec, values: Sequence[float], *, higher_is_better: bool) -> float:
    """The factor of the learning rate after epochs with these validation figures, by torch's `ReduceLROnPlateau`.

    The figures are part of every checkpoint, so that the scheduler needs no further state.
    """
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    scheduler = ReduceLROnPlateau(
        optimizer,
        mode="max" if higher_is_better else "min",
        factor=spec.factor,
        patience=spec.patience_epochs,
        threshold=spec.threshold,
        cooldown=spec.cooldown_epochs,
        min_lr=spec.min_rate_ratio,
    )
    for value in values:
        scheduler.step(value)
    return float(optimizer.param_groups[0]["lr"])


def _one_cycle(peak: float, step: int, total_steps: int, rise: float) -> float:
    first = peak / FIRST_DIVISOR
    turn = max(0.0, rise - 1)
    if step < turn:
        return _anneal(first, peak, step / turn)
    rest = max(1.0, total_steps - 1 - turn)
    return _anneal(peak, first / LAST_DIVISOR, min(1.0, (step - turn) / rest))


def _anneal(begin: float, end: float, share: float) -> float:
    """Half a cosine from `begin` (share 0) to `end` (share 1)."""
    return end + (begin - end) / 2 * (1 + math.cos(math.pi * share))
