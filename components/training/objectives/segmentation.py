"""A class for each pixel: cross entropy and soft Dice.

The epoch with the best mean IoU of the classes is kept.

Legend: N batch, H height, W width, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.augmentation import color, geometry, resized_crop
from components.training.batches import Batch
from components.training.class_weights import class_weights
from components.training.objectives import overlap
from components.training.objectives.objective import Forward, Selection, StepResult

if TYPE_CHECKING:
    from components.training.prepared import Prepared

IGNORED = 255
_SMOOTH = 1.0  # pixels: a class that is neither there nor answered has a Dice of 1
_PART = 64  # masks that are counted at once


class SegmentationObjective:
    """Arrays `images` and `masks`; the loss is the sum of the cross entropy of the pixels and 1 - Dice of the classes.

    Ignored pixels (255) count nowhere. Pictures and masks are cropped, mirrored, rotated and shifted together; what a
    rotation or a shift frees is ignored.

    Args:
        spec: class_weights and label_smoothing apply to the cross entropy in training, not to validation.
        prepared: `masks` of the train split give the frequencies of the classes.
    """

    metric = "loss"
    higher_is_better = False
    selection = Selection("mean_iou", higher_is_better=True, combine=overlap.mean_iou)

    def __init__(self, spec: TrainSpec, prepared: Prepared) -> None:
        self._smoothing = spec.label_smoothing
        self.weights = class_weights(spec, prepared, lambda: balanced_pixel_weights(prepared))

    def step(self, forward: Forward, batch: Batch, generator: torch.Generator, *, training: bool) -> StepResult:
        """Cross entropy (nats) and Dice of a batch."""
        masks = batch["masks"].long()  # (N, H, W)
        logits: Tensor = forward(batch["images"]).float()  # (N, K, H, W)
        weights = None
        if training and self.weights is not None:
            weights = self.weights = self.weights.to(logits.device)
        smoothing = self._smoothing if training else 0.0
        rows = logits.permute(0, 2, 3, 1).flatten(0, 2)  # (N H W, K): of (N, K, H, W) CUDA has no reproducible kernel
        entropy = functional.cross_entropy(
            rows, masks.flatten(), weights, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        )
        counted = masks != IGNORED  # torch's own mean divides by the sum of the weights too, by 0 if none counts
        total = counted.sum() if weights is None else weights[torch.where(counted, masks, 0)].mul(counted).sum()
        loss = entropy / total.clamp(min=1e-6) + 1 - soft_dice(logits, masks)
        count = torch.full((), len(masks), device=loss.device)
        sums = None
        if not training:
            sums = overlap.class_sums(rows.argmax(dim=1)[counted.flatten()], masks[counted], rows.shape[1])
        return StepResult(loss, loss.detach() * count, count, sums, total)

    def augment(self, batch: Batch, spec: AugmentSpec, generator: torch.Generator) -> Batch:
        """Images and masks, cropped, mirrored, rotated and shifted by the same draws; images with other colours."""
        images, masks = batch["images"], batch["masks"][..., None]  # (N, H, W, C), (N, H, W, 1)
        if spec.resized_crop is not None:
            crops = resized_crop.draw_crops(images.shape, spec.resized_crop, generator)
            images, masks = resized_crop.cropped(images, crops), resized_crop.cropped_nearest(masks, crops)
        upside_down = geometry.draw_flip(len(images), spec, generator)
        images, masks = geometry.flipped(images, upside_down), geometry.flipped(masks, upside_down)
        # The freed border is 0: the numbers are one higher meanwhile, so that it is 255, and 255 itself wraps to 0.
        if spec.rotate_degrees:
            matrix = geometry.draw_warp(images.shape, spec, generator)
            images = geometry.warped(images, matrix)
            masks = geometry.warped(masks + 1, matrix, "nearest").to(torch.uint8) - 1
        else:
            shift, mirror = geometry.draw_move(len(images), spec, generator)
            images = geometry.moved(images, shift, mirror)
            masks = geometry.moved(masks + 1, shift, mirror) - 1
        if spec.color_jitter is not None:
            images = color.jittered(images, spec.color_jitter, generator)
        return {**batch, "images": images, "masks": masks[..., 0]}


def soft_dice(logits: Tensor, masks: Tensor) -> Tensor:
    """The mean Dice coefficient () of the classes over a batch, of probabilities in place of answers (Milletari et al.
    2016, arXiv:1606.04797, eq. 3, without squares); ignored pixels do not count.

    Args:
        logits: (N, K, H, W).
        masks: int64 (N, H, W).
    """
    counted = masks != IGNORED  # (N, H, W)
    probabilities = logits.softmax(dim=1) * counted[:, None]  # (N, K, H, W)
    truth = functional.one_hot(torch.where(counted, masks, 0), logits.shape[1]).permute(0, 3, 1, 2) * counted[:, None]
    both = (probabilities * truth).sum(dim=(0, 2, 3))  # (K,)
    total = probabilities.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
    return ((2 * both + _SMOOTH) / (total + _SMOOTH)).mean()


def balanced_pixel_weights(prepared: Prepared) -> Tensor:
    """n / (K count) of the pixels of the train split, float32 (K,); 0 for a class without pixels."""
    masks, classes = prepared.train.all("masks"), len(prepared.classes)
    counts = np.zeros(256, np.int64)
    for begin in range(0, len(masks), _PART):
        counts += np.bincount(np.asarray(masks[begin : begin + _PART]).ravel(), minlength=256)
    of_classes = counts[:classes].astype(np.float64)
    weights = np.divide(of_classes.sum(), classes * of_classes, out=np.zeros(classes), where=of_classes > 0)
    return torch.from_numpy(weights).float()
