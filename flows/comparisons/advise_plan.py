"""The experiments of an advice: parts of the data, sizes of the model, shorter trainings, and second seeds.

A part of the data gets as many optimizer steps as the whole, so that the difference is one of the data, but at most
`MAX_EPOCH_RATIO` times the epochs: a small part has overfitted by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from components.contracts.advice import Curve
from components.contracts.model_spec import ModelSpec
from components.contracts.pipeline import PipelineSpec

DATA_PARTS = (Fraction(1, 16), Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))
SECOND_SEEDS = (Fraction(1, 16), Fraction(1, 8))
MODEL_SIZES = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2), Fraction(2))
TIME_PARTS = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))
MAX_EPOCH_RATIO = 4
MIN_SAMPLES = 32  # of a part of the data
MIN_PER_CLASS = 2
VALIDATION_COST_RATIO = 1 / 3  # cost of a validation sample, forward only, relative to a training sample


@dataclass(frozen=True)
class Planned:
    """An experiment before its training.

    Args:
        spec: the pipeline with the settings of the experiment.
        steps: optimizer steps relative to the base.
        cost: training time relative to the base, roughly.
    """

    name: str
    spec: PipelineSpec
    curves: tuple[Curve, ...]
    steps: float
    cost: float
    is_base: bool = False


@dataclass(frozen=True)
class Sizes:
    """The number of samples of the splits, and of classes (1 for a task without)."""

    train: int
    validation: int
    classes: int

    @property
    def validation_share(self) -> float:
        """Cost of a validation relative to an epoch of all training samples."""
        return VALIDATION_COST_RATIO * self.validation / self.train


def base(spec: PipelineSpec, epochs: int) -> Planned:
    """The training of the pipeline itself, the last point of every curve."""
    return Planned("the pipeline", _trained_for(spec, epochs), ("data", "model", "time"), 1.0, 1.0, is_base=True)


def data_parts(
    spec: PipelineSpec, epochs: int, sizes: Sizes, parts: Sequence[Fraction] = DATA_PARTS
) -> tuple[list[Planned], dict[str, str]]:
    """Trainings on parts of the data, some with a second seed; and the parts that are too small, with the reason."""
    learnt = min(spec.train.samples or sizes.train, sizes.train)
    least = max(MIN_SAMPLES, MIN_PER_CLASS * sizes.classes)
    planned, left_out = [], {}
    for part in parts:
        samples = round(learnt * part)
        if samples < least:
            left_out[f"{part} of the data"] = f"{samples:,} samples are too few: at least {least:,}"
            continue
        part_epochs = min(round(epochs / part), MAX_EPOCH_RATIO * epochs)
        cost = part_epochs / epochs * (float(part) + sizes.validation_share) / (1 + sizes.validation_share)
        for seed in (spec.train.seed, spec.train.seed + 1)[: 2 if part in SECOND_SEEDS else 1]:
            name = f"{part} of the data" + ("" if seed == spec.train.seed else ", second seed")
            own = _trained_for(spec, part_epochs, samples=samples, seed=seed)
            planned.append(Planned(name, own, ("data",), float(part) * part_epochs / epochs, cost))
    return planned, left_out


def model_sizes(
    spec: PipelineSpec,
    epochs: int,
    candidates: Sequence[tuple[ModelSpec, int]],
    parameters: int,
    wanted: Sequence[Fraction] = MODEL_SIZES,
) -> list[Planned]:
    """Trainings of smaller and larger networks: for each wanted size the candidate that is nearest to it.

    Args:
        candidates: networks with their parameters.
        parameters: of the pipeline's network.
    """
    planned: dict[int, Planned] = {}
    for share in wanted:
        others = [own for own in candidates if (own[1] < parameters) == (share < 1) and own[1] != parameters]
        if not others:
            continue
        aim = math.log(parameters * share)
        model, count = min(others, key=lambda own: abs(math.log(own[1]) - aim))
        ratio = count / parameters
        if abs(math.log(ratio / share)) > math.log(2) / 2:  # nearer to another size
            continue
        larger = _trained_for(spec, epochs).model_copy(update={"model": model})
        name = f"a network of {count:,} parameters ({ratio:.2g} times)"
        planned[count] = Planned(name, larger, ("model",), 1.0, max(0.3, ratio))
    return list(planned.values())


def time_parts(spec: PipelineSpec, epochs: int, parts: Sequence[Fraction] = TIME_PARTS) -> list[Planned]:
    """Shorter trainings, each with a schedule of its own."""
    lengths = sorted({max(1, round(epochs * part)) for part in parts if epochs * part >= Fraction(1, 2)} - {epochs})
    return [
        Planned(f"{length} of {epochs} epochs", _trained_for(spec, length), ("time",), length / epochs, length / epochs)
        for length in lengths
    ]


def affordable_epochs(cost: Callable[[int], float], epoch_seconds: float, seconds: float, most: int) -> int:
    """The most epochs of the base, up to `most`, with which all experiments fit in a time; 0 if one is too many.

    Args:
        cost: of all experiments relative to the base, by the base's epochs.
    """
    fitting = [epochs for epochs in range(1, most + 1) if cost(epochs) * epochs * epoch_seconds <= seconds]
    return max(fitting, default=0)


def _trained_for(spec: PipelineSpec, epochs: int, **changes: int) -> PipelineSpec:
    """The pipeline with other epochs and settings; nothing stops early: all experiments have their steps."""
    if epochs == spec.train.epochs and not changes:
        return spec
    train = spec.train.model_copy(update={"epochs": epochs, "early_stopping": None, **changes})
    return spec.model_copy(update={"train": train})
