"""The floating-point operations of a network for one sample, counted by torch in a real step on the train split."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.train_spec import TrainSpec
from components.models.build import build
from components.training.batches import on_device, steps_per_epoch
from components.training.objectives.objective import open_objective, training_split
from components.training.prepared import Prepared

SAMPLES = 8


class StepCost(NamedTuple):
    """What the steps of a training are.

    Args:
        forward_flops: of a forward pass for one sample, the mean of a few: matrix products, convolutions and attention;
            a multiplication with an addition counts as two. None if torch counts less than one use of each weight, as
            in fused recurrent layers.
        samples: of an epoch, as they are trained: a language model's are blocks of tokens.
        steps_per_epoch: optimizer steps.
    """

    forward_flops: float | None
    samples: int
    steps_per_epoch: int


def step_cost(model: ArchitectureSpec, train: TrainSpec, prepared: Prepared) -> StepCost:
    """The cost of a training's steps; the network has random weights.

    Raises:
        UsageError: the model or the settings do not fit the data.
    """
    objective = open_objective(prepared.task.objective, train, prepared)
    network = build(model, prepared.processor.input_spec(), prepared.processor.output_spec())
    split = training_split(objective, prepared.train, "train")
    count = min(SAMPLES, len(split))
    rows = np.arange(count) * (len(split) // count)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        batch = on_device(split.batch(rows), torch.device("cpu"))
        objective.step(network, batch, torch.Generator().manual_seed(0), training=True)
    flops = counter.get_total_flops() / count
    is_complete = flops >= _least_flops(network)
    steps = steps_per_epoch(len(split), train.batch_size, train.processes)
    return StepCost(flops if is_complete else None, len(split), steps)


def _least_flops(network: nn.Module) -> int:
    """Operations if each sample uses each matrix once; tables of embeddings are looked up."""
    tables = {id(table.weight) for table in network.modules() if isinstance(table, nn.Embedding)}
    matrices = (weight for weight in network.parameters() if weight.ndim > 1 and id(weight) not in tables)
    return max(1, 2 * sum(weight.numel() for weight in matrices))
