"""Weight decay by name of the weight: `train.weight_decay_by_name` of a pipeline."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from components.contracts.train_spec import TrainSpec
from components.core.errors import UsageError


def decayed_by_name(groups: list[dict[str, Any]], network: nn.Module, spec: TrainSpec) -> list[dict[str, Any]]:
    """Parameter groups with the weight decay that the spec gives to names; groups are split where it differs.

    Raises:
        UsageError: an expression is invalid, or matches the name of no trained weight.
    """
    if not spec.weight_decay_by_name:
        return groups
    named = _decays(network, spec.weight_decay_by_name)
    split: list[dict[str, Any]] = []
    for group in groups:
        parts: dict[float, list[nn.Parameter]] = {group["weight_decay"]: []}
        for weight in group["params"]:
            parts.setdefault(named.get(id(weight), group["weight_decay"]), []).append(weight)
        split += [{**group, "params": weights, "weight_decay": decay} for decay, weights in parts.items() if weights]
    return split


def _decays(network: nn.Module, by_name: dict[str, float]) -> dict[int, float]:
    """The decay of each weight that an expression matches, by `id`; the first expression that matches counts."""
    weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    found: dict[int, float] = {}
    for text, decay in by_name.items():
        try:
            expression = re.compile(text)
        except re.error as error:
            raise UsageError(
                "not a regular expression", where="train.weight_decay_by_name", got=f"{text}: {error}"
            ) from error
        matching = [name for name in weights if expression.search(name)]
        if not matching:
            raise UsageError(
                "no trained weight has such a name",
                where="train.weight_decay_by_name",
                got=text,
                expected=f"a part of one of {', '.join(list(weights)[:20])}{', ...' if len(weights) > 20 else ''}",
                next_step="correct the expression, or leave it out",
            )
        for name in matching:
            found.setdefault(id(weights[name]), decay)
    return found
