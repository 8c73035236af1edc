"""Boxes of objects: what is made small is the detector's own affair, since it knows what its outputs mean.

Legend: N batch, H height, W width, M boxes of a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.contracts.errors import UsageError
from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.batches import Batch
from components.training.objectives.objective import Forward, Step

if TYPE_CHECKING:
    from components.training.prepared import Prepared


class Detection:
    """Arrays `images`, `boxes` (cx, cy, w, h in 0..1) and `box_classes`; the network has a method `loss`."""

    metric = "loss"
    higher_is_better = False

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        asked = spec.augment
        if asked.shift_pixels or asked.rotate_degrees or asked.erase:
            raise UsageError(
                "images with boxes are mirrored, not otherwise changed",
                where="train.augment",
                got=asked.model_dump(exclude_defaults=True),
                expected="flip alone",
            )

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> Step:
        """The network's loss of its own outputs."""
        outputs = forward(batch["images"])
        loss: Tensor = forward.loss(  # type: ignore[attr-defined]  # the network, or its compiled form
            outputs, batch["boxes"], batch["box_classes"], batch["boxes_lengths"]
        )
        count = torch.full((), len(batch["images"]), device=loss.device)
        return Step(loss, loss.detach() * count, count)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """Images mirrored left and right with probability 1/2, and their boxes with them."""
        images, boxes = batch["images"], batch["boxes"]  # (N, H, W, C), (N, M, 4)
        mirror = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)  # (N,)
        mirrored = boxes * boxes.new_tensor([-1, 1, 1, 1]) + boxes.new_tensor([1, 0, 0, 0])  # (N, M, 4)
        return {
            **batch,
            "images": torch.where(mirror[:, None, None, None], images.flip(2), images),
            "boxes": torch.where(mirror[:, None, None], mirrored, boxes),
        }
