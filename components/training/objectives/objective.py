"""What an objective is. A task names its own as `package.module:Class`; the class is called with (spec, prepared)."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.core.errors import NotFoundError, UsageError
from components.training.batches import Batch

if TYPE_CHECKING:
    from components.training.prepared import Prepared

Forward = Callable[..., Any]  # the network, or its compiled form: its inputs in order to its output


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of one batch; all are tensors () on the batch's device.

    Args:
        loss: its mean over what counts, with a gradient.
        score_sum: the metric's sum over what counts.
        count: how many count: samples, tokens that are no padding, values.
    """

    loss: Tensor
    score_sum: Tensor
    count: Tensor


class Objective(Protocol):
    """Loss and metric of a task.

    Args:
        metric: its name in the history: `train/<metric>`, `validation/<metric>`. `loss` for the loss itself.
        higher_is_better: of the metric; keeping the best epoch and early stopping go by it.
    """

    metric: str
    higher_is_better: bool

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Loss and metric of one batch.

        Args:
            batch: arrays by name, ragged ones padded and with their lengths.
            generator: on the CPU, for whatever is drawn; its state depends on the seed and the step alone, and on the
                batch alone while validating.
            training: False for validation: the plain loss, without weights and smoothing.
        """

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """A batch with random changes; called only where a pipeline asks for them."""


class NoAugmentation:
    """For objectives of tasks without random changes of their samples."""

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """There is none: `open_objective` has refused it."""
        return batch


def open_objective(name: str, spec: TrainSpec, prepared: Prepared) -> Objective:
    """The objective that a task names.

    Raises:
        NotFoundError: it does not import.
        UsageError: the train spec asks for something that this task has not, such as augmentation.
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
