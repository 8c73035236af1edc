"""Boxes of objects: the loss is a method of the detector, which defines its outputs.

The epoch with the best mAP at an IoU of 0.5 is kept.

Legend: N batch, H height, W width, M boxes of a sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.augmentation import color, geometry, resized_crop
from components.training.batches import Batch
from components.training.objectives import average_precision
from components.training.objectives.objective import Forward, Selection, StepResult

if TYPE_CHECKING:
    from components.training.prepared import Prepared

MIN_VISIBLE = 0.3  # smallest share of a box's area inside the image after augmentation


class DetectionObjective:
    """Arrays `images`, `boxes` (cx, cy, w, h in 0..1), `box_classes`, `box_flags`; the network has the method `loss`.

    Boxes with a flag (difficult ones, crowds) are not learnt.
    """

    metric = "loss"
    higher_is_better = False
    selection = Selection("map_50", higher_is_better=True, combine=average_precision.mean_average_precision)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        """The loss has no settings."""

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """The network's loss."""
        batch = _learnt(batch)
        outputs = forward(batch["images"])
        loss: Tensor = forward.loss(  # type: ignore[attr-defined]  # the network, or its compiled form
            outputs, batch["boxes"], batch["box_classes"], batch["boxes_lengths"]
        )
        count = torch.full((), len(batch["images"]), device=loss.device)
        if training:
            return StepResult(loss, loss.detach() * count, count)
        boxes, scores = forward.decode(outputs)  # type: ignore[attr-defined]  # (N, A, 4), (N, A, K)
        return StepResult(loss, loss.detach() * count, count, average_precision.sums(boxes, scores, batch))

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """Images and boxes, cropped, mirrored and shifted alike; images with other colours.

        A box of which less than `MIN_VISIBLE` is left is dropped.
        """
        batch = _learnt(batch)
        images, boxes = batch["images"], batch["boxes"]  # (N, H, W, C), (N, M, 4)
        count, height, width, _ = images.shape
        if spec.resized_crop is not None:
            crops = resized_crop.draw_crops(images.shape, spec.resized_crop, generator)
            images = resized_crop.cropped(images, crops)
            boxes = resized_crop.cropped_boxes(boxes, crops, height, width)
        upside_down = geometry.draw_flip(count, spec, generator)  # (N,)
        shift, mirror = geometry.draw_move(count, spec, generator)  # (N, 2), (N,)
        images = geometry.moved(geometry.flipped(images, upside_down), shift, mirror)
        if spec.color_jitter is not None:
            images = color.jittered(images, spec.color_jitter, generator)
        x, y, wide, high = boxes.unbind(dim=2)  # (N, M) each
        down, right = (shift.to(boxes) / boxes.new_tensor([height, width])).unbind(dim=1)  # (N,) each
        x = torch.where(mirror.to(x.device)[:, None], 1 - x, x) + right[:, None]
        y = torch.where(upside_down.to(y.device)[:, None], 1 - y, y) + down[:, None]
        moved = _inside(torch.stack([x, y, wide, high], dim=2))
        kept = moved[..., 2] * moved[..., 3] >= MIN_VISIBLE * wide * high  # (N, M)
        kept &= torch.arange(kept.shape[1], device=kept.device) < batch["boxes_lengths"][:, None]
        return _selected({**batch, "images": images, "boxes": moved}, kept)


def _learnt(batch: Batch) -> Batch:
    """The batch without boxes that have a flag, and without their flags."""
    if "box_flags" not in batch:
        return batch
    flags = batch["box_flags"]  # (N, M)
    inside = torch.arange(flags.shape[1], device=flags.device) < batch["boxes_lengths"][:, None]
    return _selected({name: value for name, value in batch.items() if name != "box_flags"}, inside & (flags == 0))


def _selected(batch: Batch, kept: Tensor) -> Batch:
    """The batch with the boxes of which `kept` (N, M) is true, in their order."""
    order = torch.argsort(~kept, dim=1, stable=True)  # (N, M): kept boxes first
    return {
        **batch,
        "boxes": batch["boxes"].gather(1, order[..., None].expand_as(batch["boxes"])),
        "box_classes": batch["box_classes"].gather(1, order),
        "boxes_lengths": kept.sum(dim=1),
    }


def _inside(boxes: Tensor) -> Tensor:
    """Boxes (N, M, 4), clipped to the image."""
    low = (boxes[..., :2] - boxes[..., 2:] / 2).clamp(0, 1)
    high = (boxes[..., :2] + boxes[..., 2:] / 2).clamp(0, 1)
    return torch.cat([(low + high) / 2, high - low], dim=2)
