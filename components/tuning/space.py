"""The search space of `tune:` as Optuna's distributions, and values of a trial as keys of a pipeline file."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from components.contracts.tune_spec import Parameter, TuneSpec, canonical


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter. A choice that is no number, text or boolean is represented by its JSON."""
    if parameter.choice is not None:
        return CategoricalDistribution([_represented(value) for value in parameter.choice])
    low, high = parameter.bounds
    if parameter.int is not None:
        return IntDistribution(round(low), round(high), log=parameter.log, step=round(parameter.step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=parameter.step)


def suggest(trial: Trial, spec: TuneSpec) -> dict[str, Any]:
    """The values that a trial's sampler chooses, by key, in the order in which they are set."""
    chosen: dict[str, Any] = {}
    for key in spec.order():
        if not spec.active(chosen, key):
            continue
        parameter = spec.space[key]
        chosen[key] = value_of(parameter, _drawn(trial, key, parameter))
    return chosen


def _drawn(trial: Trial, key: str, parameter: Parameter) -> Any:
    if parameter.choice is not None:
        return trial.suggest_categorical(key, [_represented(value) for value in parameter.choice])
    low, high = parameter.bounds
    if parameter.int is not None:
        return trial.suggest_int(key, round(low), round(high), log=parameter.log, step=round(parameter.step or 1))
    return trial.suggest_float(key, low, high, log=parameter.log, step=parameter.step)


def value_of(parameter: Parameter, internal: Any) -> Any:
    """The value of a pipeline file that Optuna's value stands for; of a float, in as many digits as a file needs."""
    if parameter.choice is not None:
        return next(value for value in parameter.choice if _represented(value) == internal)
    if parameter.int is not None:
        return int(internal)
    return _short(float(internal), parameter)


def fixed(spec: TuneSpec, values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    """Optuna's parameters and distributions of given values; keys whose value the space does not hold are left out."""
    parameters: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    chosen: dict[str, Any] = {}
    for key in spec.order():
        parameter = spec.space[key]
        if key not in values or not spec.active(chosen, key) or not parameter.holds(values[key]):
            continue
        chosen[key] = values[key]
        parameters[key] = _represented(values[key]) if parameter.choice is not None else values[key]
        distributions[key] = distribution(parameter)
    return parameters, distributions


def grid(spec: TuneSpec) -> dict[str, list[Any]]:
    """Every value of every key of a finite space, as Optuna represents them."""
    return {
        key: [_represented(value) if parameter.choice is not None else value for value in parameter.values() or []]
        for key, parameter in spec.space.items()
    }


def _represented(value: Any) -> str | int | float | bool | None:
    if isinstance(value, str | int | float | bool | None):
        return value
    return canonical(value)


def _short(value: float, parameter: Parameter) -> float:
    """Four significant digits, unless that leaves the range: a person is to read and to keep what is found."""
    rounded = float(f"{value:.4g}")
    low, high = parameter.bounds
    return rounded if parameter.step is None and low <= rounded <= high else value
