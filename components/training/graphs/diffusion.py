"""The graph of a diffusion network: the network itself.

Legend: N batch, C channels, H height, W width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from components.contracts.shapes import NoiseInput
from components.identity.package import TensorSpec
from components.tasks.task import Processor
from components.training.batches import Batch
from components.training.graphs.graph import BATCH, Graph


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """`model` gives `noise` (N, C, H, W) of a noisy image, its step and its class."""
    spec = cast(NoiseInput, processor.input_spec())
    inputs = [
        TensorSpec(name="noisy", type="float32", shape=[BATCH, spec.channels, spec.height, spec.width]),
        TensorSpec(name="step", type="int64", shape=[BATCH]),
        TensorSpec(name="label", type="int64", shape=[BATCH]),
    ]

    def feed(batch: Batch) -> tuple[Tensor, ...]:
        """Images in place of noisy ones, at steps that depend on the image alone and cover the whole schedule."""
        noisy = batch["images"].permute(0, 3, 1, 2).float() / 127.5 - 1  # (N, C, H, W)
        step = batch["images"].long().sum(dim=(1, 2, 3)) % spec.steps  # (N,)
        return noisy, step, batch["labels"]

    return [Graph("model", network, inputs, {"noise": [BATCH]}, feed)]
