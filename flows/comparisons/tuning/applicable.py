"""Keys of a search space whose values are refused whatever the other keys are: every trial with them would fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice, product
from typing import Any

from components.contracts.tune_spec import Parameter, TuneSpec, canonical

COMBINATIONS = 512  # of the other keys' choices; a key that needs more to be judged is left to the trials

Refusal = Callable[[Mapping[str, Any]], str | None]  # settings to why they are refused; None: they are possible


def never(tune: TuneSpec, own: Mapping[str, Any], refusal: Refusal) -> dict[str, tuple[Any, str]]:
    """Keys with a value that no trial can have, and why; of a range, all values that are tested.

    Args:
        own: values of the pipeline's own file, which are possible.
    """
    found: dict[str, tuple[Any, str]] = {}
    for key, parameter in tune.space.items():
        conditions = next(corner for corner in tune.corners() if list(corner)[-1] == key)
        tested = [value for value in _tested(parameter) if canonical(value) != canonical(own.get(key))]
        reasons = [(value, _reason(tune, key, {**conditions, key: value}, refusal)) for value in tested]
        refused = [(value, reason) for value, reason in reasons if reason is not None]
        if refused and (parameter.choice is not None or len(refused) == len(tested)):
            found[key] = refused[0]
    return found


def _tested(parameter: Parameter) -> list[Any]:
    """All choices; of a range its ends and a value between them."""
    if parameter.choice is not None:
        return list(parameter.choice)
    low, high = parameter.ends()
    within = parameter.values() or [(low + high) / 2 if parameter.float is not None else (low + high) // 2]
    return [low, within[len(within) // 2], high]


def _reason(tune: TuneSpec, key: str, settings: dict[str, Any], refusal: Refusal) -> str | None:
    """Why settings are refused beside every choice of the other keys; None: beside one of them they are possible."""
    reason = refusal(settings)
    if reason is None:
        return None
    others = {
        name: parameter.choice
        for name, parameter in tune.space.items()
        if name not in settings and parameter.choice is not None
    }
    combinations = islice(product(*others.values()), COMBINATIONS + 1)
    for number, values in enumerate(combinations):
        if number == COMBINATIONS or refusal({**dict(zip(others, values, strict=True)), **settings}) is None:
            return None
    return reason
