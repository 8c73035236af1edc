"""The part of a budget that is known once a model is trained: parameters, duration and energy of the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from components.contracts.budget_spec import BudgetSpec
from components.core.errors import GateRefused

RECORD = "train again on this machine, which records it: `modelyard run PIPELINE --force train`"
SHRINK = (
    "a smaller model, fewer epochs or less data (what that costs says `modelyard advise PIPELINE`), or a larger limit"
)


class TrainingCost(NamedTuple):
    """What a training cost.

    Args:
        seconds: of the training loop; None: not recorded.
        energy_wh: by source (`rapl`, `nvml`, `estimated`); empty: not recorded.
    """

    parameters: int | None
    seconds: float | None
    energy_wh: Mapping[str, float]


def check(budget: BudgetSpec, cost: TrainingCost) -> None:
    """Refuse a model whose training is over the budget, or of whose cost there is no record.

    Raises:
        GateRefused: a limit is exceeded or cannot be checked; all of them are named.
    """
    problems: dict[str, str] = {}
    if budget.parameters is not None:
        if cost.parameters is None:
            problems["parameters"] = "parameters: not recorded"
        elif cost.parameters > budget.parameters:
            problems["parameters"] = f"parameters {cost.parameters:,} > {budget.parameters:,}"
    if budget.train_minutes is not None:
        if cost.seconds is None:
            problems["train_minutes"] = "train_minutes: not recorded"
        elif cost.seconds / 60 > budget.train_minutes:
            problems["train_minutes"] = f"train_minutes {cost.seconds / 60:.2f} > {budget.train_minutes:g}"
    if budget.energy_wh is not None:
        energy = sum(cost.energy_wh.values())
        if not cost.energy_wh:
            problems["energy_wh"] = "energy_wh: not recorded"
        elif energy > budget.energy_wh:
            sources = " and ".join(cost.energy_wh)
            problems["energy_wh"] = f"energy_wh {energy:.3g} ({sources}) > {budget.energy_wh:g}"
    if problems:
        unrecorded = any(text.endswith("not recorded") for text in problems.values())
        raise GateRefused(
            f"the model is over its budget: {', '.join(problems)}",
            where="budget",
            got="; ".join(problems.values()),
            expected="each figure at or below its limit in the pipeline's budget:",
            next_step=RECORD if unrecorded else SHRINK,
        )
