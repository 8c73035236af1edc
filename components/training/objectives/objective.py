"""What an objective is. A task names a class, `package.module:Class`, which is called with (spec, prepared)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from components.contracts.array_spec import SAMPLE_WEIGHTS
from components.contracts.shapes import MIXING, ImageInput, TokensInput, usable_augmentations
from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.core.errors import NotFoundError, UsageError
from components.preprocessing.stored import StoredSplit
from components.training.augmentation.color import check_channels
from components.training.augmentation.tokens import check_mask
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
        weight: the denominator of the mean loss, if it is not `count`: the sum of the weights of what is counted.
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
        figure: computes the figure after the validation, from the network, the split and the device; None: `combine`.
    """

    metric: str
    higher_is_better: bool
    combine: Callable[[Sequence[float]], float] | None = None
    arrays: tuple[str, ...] = ()
    figure: Callable[[nn.Module, StoredSplit, torch.device], float] | None = None


BY_LOSS = Selection("loss", higher_is_better=False)


class Objective(Protocol):
    """Loss and metric of a task.

    Args:
        metric: name in the history: `train/<metric>`, `validation/<metric>`; `loss` for the loss itself.
        higher_is_better: direction of the metric.

    The metric decides which epoch is kept, unless the objective has a `selection` (`Selection`). `selections` lists
    further figures that `train.keep_metric` may name.
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
    """Base of objectives without augmentation, whatever their input and output would allow."""

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """The batch itself; `open_objective` refuses augmentation."""
        return batch


def selection(objective: Objective) -> Selection:
    """What decides about the epochs of an objective: its `selection`, or its metric."""
    own: Selection | None = getattr(objective, "selection", None)
    return own or Selection(objective.metric, objective.higher_is_better)


def select(objective: Objective, name: str) -> None:
    """Let the figure of a name decide about the epochs: the loss, the objective's metric, or one of its `selections`.

    Raises:
        UsageError: the objective has no such figure.
    """
    own: Sequence[Selection] = getattr(objective, "selections", ())
    known = [selection(objective), *own, Selection(objective.metric, objective.higher_is_better), BY_LOSS]
    for one in known:
        if one.metric == name:
            objective.selection = one  # type: ignore[attr-defined]  # `selection` looks for it
            return
    raise UsageError(
        "no figure of the validation has this name",
        where="train.keep_metric",
        got=name,
        expected=", ".join(dict.fromkeys(one.metric for one in known)),
        next_step="correct it, or leave it out of the pipeline",
    )


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
    if spec.augment.active:
        check_augmentation(objective, spec, prepared)
    if spec.keep_metric is not None:
        select(objective, spec.keep_metric)
    return objective


def check_augmentation(objective: Objective, spec: TrainSpec, prepared: Prepared) -> None:
    """Raise UsageError if `train.augment` has settings that the objective does not apply to the prepared data."""
    input_spec, output_spec = prepared.processor.input_spec(), prepared.processor.output_spec()
    usable = usable_augmentations(type(input_spec), type(output_spec))
    if isinstance(objective, NoAugmentation):
        usable = []
    if unusable := [name for name in spec.augment.names() if name not in usable]:
        raise UsageError(
            "this task has no such augmentation" if usable else "this task has no augmentation",
            where=f"train.augment.{unusable[0]}",
            got=", ".join(unusable),
            expected=", ".join(usable) or None,
            next_step=f"leave it out of the pipeline of a task {prepared.task.name}",
        )
    if isinstance(input_spec, TokensInput) and spec.augment.word_dropout:
        check_mask(input_spec)
    if isinstance(input_spec, ImageInput) and spec.augment.color_jitter is not None:
        check_channels(spec.augment.color_jitter, input_spec.channels)
    mixing = [name for name in spec.augment.names() if name in MIXING]
    if mixing and SAMPLE_WEIGHTS.name in {one.name for one in prepared.train.specs}:
        raise UsageError(
            "samples with weights of their own cannot be mixed with others",
            where=f"train.augment.{mixing[0]}",
            next_step="leave it out, or leave weight: out of the dataset's layout",
        )
