"""What needs torch: the network, its loss, its graph.

Legend: N batch, C columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.contracts.train_spec import TrainSpec
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, Graph, model_graph
from components.training.objectives.objective import Forward, NoAugmentation, StepResult
from tests.regression_task.task import NumberOutput, RowInput

if TYPE_CHECKING:
    from components.training.prepared import Prepared


def build(input_spec: RowInput, output_spec: NumberOutput, hidden: int = 16) -> nn.Module:
    return Network(input_spec, output_spec, hidden)


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `value` (N,)."""
    return [model_graph(network, processor, {"value": [BATCH]})]


class Network(nn.Module):
    """Two dense layers between standardised columns and the target in its own units."""

    mean: Tensor
    std: Tensor

    def __init__(self, input_spec: RowInput, output_spec: NumberOutput, hidden: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(input_spec.mean))
        self.register_buffer("std", torch.tensor(input_spec.std))
        self.layers = nn.Sequential(nn.Linear(len(input_spec.mean), hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.target_mean, self.target_std = output_spec.mean, output_spec.std

    def forward(self, rows: Tensor) -> Tensor:
        standardised: Tensor = self.layers((rows - self.mean) / self.std)[:, 0]  # (N,)
        return standardised * self.target_std + self.target_mean


class SquaredError(NoAugmentation):
    """Mean squared error, in units of the target's variance over the train split."""

    metric = "loss"
    higher_is_better = False

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._scale = prepared.processor.output_spec().std  # type: ignore[attr-defined]  # of NumberOutput

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        loss = functional.mse_loss(forward(batch["rows"]) / self._scale, batch["target"] / self._scale)
        count = torch.full((), len(batch["rows"]), device=loss.device)
        return StepResult(loss, loss.detach() * count, count)
