"""The section `tune:` of a pipeline: what `modelyard tune` searches, and how."""

from __future__ import annotations

import json
import math
from numbers import Real
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.core.strict import Strict

SECTIONS = ("model", "train", "input")
NOT_TUNED = {
    "train.seed": "the spread over seeds is measured by --apply; the best seed is luck",
    "train.threads": "it changes the time, not the model",
    "train.deterministic": "it changes the time, not the model",
}
COSTS = ("parameters", "seconds", "megabytes")


# Named outside of the class, whose fields are called as the builtins are.
_Floats = Annotated[list[float], Field(min_length=2, max_length=2)]
_Integers = Annotated[list[int], Field(min_length=2, max_length=2)]
_Positive = Annotated[float, Field(gt=0)]
_Ends = tuple[float, float]


class Parameter(Strict):
    """Values that one key may take: a range of `float` or of `int`, or a list of `choice`.

    Args:
        float, int: lowest and highest value, both included.
        choice: values of any kind, whole mappings too (as for `model`).
        log: whether the range is searched on a logarithmic scale.
        step: distance of neighbouring values of a range.
        when: the key exists only if other keys of the space have one of these values.
    """

    float: _Floats | None = None
    int: _Integers | None = None
    choice: list[Any] | None = Field(default=None, min_length=2)
    log: bool = False
    step: _Positive | None = None
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name in ("float", "int", "choice") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError("give one of float: [low, high], int: [low, high], choice: [a, b, ...]")
        if self.choice is not None:
            if self.log or self.step is not None:
                raise ValueError("log and step go with a range, not with choice")
            texts = [canonical(value) for value in self.choice]
            if len(set(texts)) < len(texts):
                raise ValueError("a value stands twice in choice")
            return self
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError("the lowest value comes first and is less than the highest")
        if self.log and low <= 0:
            raise ValueError("a logarithmic scale needs values above 0")
        if self.log and self.step is not None:
            raise ValueError("step does not go with log")
        if self.int is not None and self.step is not None and self.step != round(self.step):
            raise ValueError("the step of whole numbers is a whole number")
        return self

    @property
    def bounds(self) -> _Ends:
        """Lowest and highest value of a range."""
        bounds = self.float if self.float is not None else self.int
        assert bounds is not None  # noqa: S101  # of ranges alone
        return bounds[0], bounds[1]

    def values(self) -> list[Any] | None:
        """All values, if there is a finite number of them."""
        if self.choice is not None:
            return list(self.choice)
        low, high = self.bounds
        if self.int is not None:
            return None if self.log else list(range(round(low), round(high) + 1, round(self.step or 1)))
        if self.step is None:
            return None
        return [low + index * self.step for index in range(int((high - low) / self.step + 1e-9) + 1)]

    def ends(self) -> list[Any]:
        """The values that are checked against the contracts before any training: the ends, or all choices."""
        return list(self.choice) if self.choice is not None else list(self.bounds)

    def holds(self, value: Any) -> bool:
        """Whether a value is one of those that the search may take."""
        if self.choice is not None:
            return canonical(value) in {canonical(choice) for choice in self.choice}
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not self.bounds[0] <= value <= self.bounds[1]:
            return False
        steps = 0.0 if self.step is None else (value - self.bounds[0]) / self.step
        return abs(steps - round(steps)) < 1e-9 and (self.int is None or value == round(value))


def canonical(value: Any) -> str:
    """A value as text that equal values share; `true` and `1` differ."""
    return json.dumps(value, sort_keys=True)


def _key(text: str) -> str:
    section, _, rest = text.partition(".")
    if section not in SECTIONS or (section != "model" and not rest):
        raise ValueError("a key of model, train or input, as train.learning_rate")
    if text in NOT_TUNED:
        raise ValueError(f"not searched: {NOT_TUNED[text]}")
    return text


Key = Annotated[str, AfterValidator(_key)]


Objective = Literal["metric", "parameters", "seconds", "megabytes"]


def _metric_alone() -> list[Objective]:
    return ["metric"]


class TuneSpec(Strict):
    """A search over a pipeline's keys. The objective is a figure of the validation split, never of the test split.

    Args:
        space: what each key may be, in the order in which the values are set.
        objectives: `metric`, the task's figure on the validation split, alone or with costs of the model: `parameters`,
            `seconds` of training, `megabytes` of weights; with several objectives the search finds their Pareto front,
            and `--apply` chooses by the metric.
        sampler: `tpe` (Bergstra et al. 2011), `gp` (Gaussian process), `cmaes` (Hansen 2016), `nsga2` (Deb et al.
            2002), `random`, `grid`.
        pruner: when a trial ends early: `asha` (Li et al. 2020), `hyperband` (Li et al. 2018), `median`, `percentile`
            (the worse three quarters), `none`. A search with several objectives prunes nothing.
        trials: how many, those that need no training included.
        minutes: how long one call searches.
        parallel: trials at the same time; None: one for each core, up to eight; with a GPU one.
        seed: of the search.
        seeds: trainings of the winner and of the file's own recipe with `--apply`.
        enqueue: settings that are tried before all others, as {key: value}; the file's own recipe is always the first.
        from_studies: earlier studies whose trials the search knows, where they fit the space.
    """

    space: dict[Key, Parameter] = Field(min_length=1)
    objectives: list[Objective] = Field(default_factory=_metric_alone)
    sampler: Literal["tpe", "gp", "cmaes", "nsga2", "random", "grid"] = "tpe"
    pruner: Literal["asha", "hyperband", "median", "percentile", "none"] = "median"
    trials: int | None = Field(default=None, ge=1, le=100_000)
    minutes: float | None = Field(default=None, gt=0)
    parallel: int | None = Field(default=None, ge=1, le=256)
    seed: int = Field(default=0, ge=0, lt=2**31)
    seeds: int = Field(default=3, ge=2, le=20)
    enqueue: list[dict[Key, Any]] = Field(default_factory=list)
    from_studies: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        problems = [*self._of_conditions(), *self._of_objectives(), *self._of_enqueued()]
        if self.sampler == "grid":
            endless = [key for key, parameter in self.space.items() if parameter.values() is None]
            problems += [f"a grid needs step or choice for {key}" for key in endless]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    @property
    def combinations(self) -> int | None:
        """Number of points of a finite space, conditions aside; None if it is not finite."""
        counts = [parameter.values() for parameter in self.space.values()]
        return None if None in counts else math.prod(len(values) for values in counts if values is not None)

    def active(self, chosen: dict[str, Any], key: str) -> bool:
        """Whether a key exists beside the values chosen so far."""
        return all(
            name in chosen and canonical(chosen[name]) in {canonical(one) for one in accepted(wanted)}
            for name, wanted in self.space[key].when.items()
        )

    def order(self) -> list[str]:
        """The keys, each after those that its condition names; a key of a section after the section itself."""
        ordered: list[str] = []
        left = dict(self.space)
        while left:
            ready = [
                key
                for key, parameter in left.items()
                if not parameter.when.keys() & left.keys() and not _parents(key) & left.keys()
            ]
            if not ready:
                raise ValueError(f"the conditions of {', '.join(left)} go in a circle")
            ordered += ready
            left = {key: parameter for key, parameter in left.items() if key not in ready}
        return ordered

    def corners(self) -> list[dict[str, Any]]:
        """Settings in which each key takes each of its ends, with what its condition asks for."""
        return [
            {**self._conditions(key), key: value} for key, parameter in self.space.items() for value in parameter.ends()
        ]

    def _conditions(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, wanted in self.space[key].when.items():
            found |= {**self._conditions(name), name: accepted(wanted)[0]}
        return found

    def _of_conditions(self) -> list[str]:
        problems = []
        for key, parameter in self.space.items():
            for name, wanted in parameter.when.items():
                if name not in self.space or name == key:
                    problems.append(f"when of {key}: {name} is no other key of the space")
                elif strange := [value for value in accepted(wanted) if not self.space[name].holds(value)]:
                    problems.append(f"when of {key}: {name} is never {strange[0]!r}")
        if not problems:
            try:
                self.order()
            except ValueError as error:
                problems.append(str(error))
        return problems

    def _of_objectives(self) -> list[str]:
        problems = []
        if "metric" not in self.objectives or len(set(self.objectives)) < len(self.objectives):
            problems.append("objectives are metric and, each once, costs beside it: " + ", ".join(COSTS))
        if len(self.objectives) > 1 and self.sampler in ("cmaes", "gp"):
            problems.append(f"{self.sampler} takes one objective; use nsga2 or tpe")
        if len(self.objectives) == 1 and self.sampler == "nsga2":
            problems.append("nsga2 is for several objectives; use tpe")
        if len(self.objectives) > 1 and self.pruner not in ("median", "none"):
            problems.append("with several objectives nothing is pruned: pruner: none")
        return problems

    def _of_enqueued(self) -> list[str]:
        return [
            f"enqueue: {key} is no key of the space, or {value!r} none of its values"
            for settings in self.enqueue
            for key, value in settings.items()
            if key not in self.space or not self.space[key].holds(value)
        ]


def accepted(wanted: Any) -> list[Any]:
    """The values of a condition: a list means any of them."""
    return list(wanted) if isinstance(wanted, list) else [wanted]


def _parents(key: str) -> set[str]:
    parts = key.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}
