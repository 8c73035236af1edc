"""What an objective is. A task names a class, `package.module:Class`, which is called with (spec, prepared)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.core.errors import NotFoundError, UsageError
from components.preprocessing.stored import StoredSplit
from components.training.batches import Batch

if TYPE_CHECKING:
    from components.training.prepared import Prepared

Forward = Callable[..., Any]  # the network, or its compiled form: its inputs in order to its output


@dataclass(frozen=True, slots=True)
class StepResult:
    """Results of one batch; tensors () on the device of the batch.

    Args:
        loss: mean loss over what is counted, with a gradient.
        score_sum: sum of the metric over what is counted.
        count: number of samples, of tokens without padding, or of values.
        weight: what the mean loss divides by, if it is not `count` (with class weights, their sum).
        sums: in validation, if `Selection.combine` needs them: sums (S,) over the batch, on the CPU or the device.
    """

    loss: Tensor
    score_sum: Tensor
    count: Tensor
    sums: Tensor | None = None
    weight: Tensor | None = None


class Selection(NamedTuple):
    """The validation figure that decides which epoch is kept (`keep: best`) and when early stopping applies.

    Args:
        metric: name in the history, `validation/<metric>`.
        combine: the figure as a function of the sums over the whole split of `StepResult.sums`; None: the history has
            the figure already (the loss).
        arrays: names of further arrays of a validation batch that the sums need (`ArraySpec.on_request`).
    """

    metric: str
    higher_is_better: bool
    combine: Callable[[Sequence[float]], float] | None = None
    arrays: tuple[str, ...] = ()


BY_LOSS = Selection("loss", higher_is_better=False)


class Objective(Protocol):
    """Loss and metric of a task.

    Args:
        metric: name in the history: `train/<metric>`, `validation/<metric>`; `loss` for the loss itself.
        higher_is_better: direction of the metric.

    The metric decides which epoch is kept, unless the objective has a `selection` (`Selection`).
    """

    metric: str
    higher_is_better: bool

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Loss and metric of one batch.

        Args:
            batch: arrays by name; ragged arrays are padded, with their lengths.
            generator: on the CPU, for random draws; its state depends on the seed and the step alone, in validation on
                the batch alone.
            training: False for validation: the plain loss, without weights and smoothing.
        """

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch, augmented; called only if the pipeline sets `train.augment`."""


class NoAugmentation:
    """Base of objectives without augmentation."""

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch itself; `open_objective` refuses augmentation."""
        return batch


def selection(objective: Objective) -> Selection:
    """What decides about the epochs of an objective: its `selection`, or its metric."""
    own: Selection | None = getattr(objective, "selection", None)
    return own or Selection(objective.metric, objective.higher_is_better)


def training_split(objective: Objective, split: StoredSplit, name: str) -> StoredSplit:
    """The split as an objective trains on it: itself, or what its method `training_split` makes of it.

    Args:
        name: of the split, for messages.
    """
    make: Callable[[StoredSplit, str], StoredSplit] | None = getattr(objective, "training_split", None)
    return split if make is None else make(split, name)


def open_objective(name: str, spec: TrainSpec, prepared: Prepared) -> Objective:
    """The objective that a task names.

    Raises:
        NotFoundError: the objective cannot be imported.
        UsageError: the train spec has settings that the task does not support, such as augmentation.
    """
    module, _, attribute = name.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise NotFoundError("the objective cannot be imported", where=name, got=error) from error
    objective: Objective = kind(spec, prepared)
    if spec.augment.active and isinstance(objective, NoAugmentation):
        raise UsageError(
            "this task has no augmentation",
            where="train.augment",
            got=spec.augment.model_dump(exclude_defaults=True),
            next_step=f"leave it out of the pipeline of a task {prepared.task.name}",
        )
    return objective
