"""The losses of sets of labels and of masks, against torch's and against sums one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from components.contracts.shapes import ImageInput
from components.contracts.train_spec import AugmentSpec, TrainSpec
from components.training.class_weights import positive_weights
from components.training.objectives.labels import LabelsObjective
from components.training.objectives.segmentation import SegmentationObjective, soft_dice

FLAGS = torch.tensor([[True, False, False], [True, True, False], [False, False, False], [True, False, False]])
GENERATOR = torch.Generator()


def prepared(name: str, values: torch.Tensor, classes: int) -> Any:
    processor = SimpleNamespace(
        inputs=lambda: ("images",), input_spec=lambda: ImageInput(height=4, width=4, channels=1, mean=[0.0], std=[1.0])
    )
    train = SimpleNamespace(all={name: values.numpy()}.__getitem__)
    task = SimpleNamespace(name="small")
    return SimpleNamespace(processor=processor, train=train, classes=list(map(str, range(classes))), task=task)


def test_labels_have_the_binary_cross_entropy_of_each() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    batch = {"images": torch.zeros(4, 4, 4, 1), "labels": FLAGS}
    objective = LabelsObjective(TrainSpec(class_weights="balanced", label_smoothing=0.2), prepared("labels", FLAGS, 3))
    step = objective.step(lambda _: logits, batch, GENERATOR, training=False)
    p = logits.sigmoid()
    by_hand = -torch.where(FLAGS, p, 1 - p).log().mean()
    assert step.loss.item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert step.score_sum.item() == pytest.approx(4 * by_hand.item(), rel=1e-5)
    assert positive_weights(FLAGS).tolist() == pytest.approx([1 / 3, 3, 1])
    weights, targets = torch.tensor([1 / 3, 3, 1]), FLAGS * 0.8 + 0.1
    weighted = -(weights * targets * p.log() + (1 - targets) * (1 - p).log()).mean()
    trained = objective.step(lambda _: logits, batch, GENERATOR, training=True)
    assert trained.loss.item() == pytest.approx(weighted.item(), rel=1e-5)


def test_masks_have_cross_entropy_and_dice_without_the_ignored_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator)
    masks = torch.randint(0, 3, (2, 4, 4), generator=generator).to(torch.uint8)
    masks[0, 0] = 255
    batch = {"images": torch.zeros(2, 4, 4, 1), "masks": masks}
    dice = []
    for number in range(3):
        p, t = logits.softmax(1)[:, number][masks != 255], (masks == number)[masks != 255].float()
        dice.append((2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1))
    assert soft_dice(logits, masks.long()).item() == pytest.approx(torch.stack(dice).mean().item(), rel=1e-5)
    for weights in ("none", "balanced"):
        objective = SegmentationObjective(TrainSpec(class_weights=weights), prepared("masks", masks, 3))  # type: ignore[arg-type]
        entropy = functional.cross_entropy(logits, masks.long(), objective.weights, ignore_index=255)
        step = objective.step(lambda _: logits, batch, GENERATOR, training=True)
        assert step.loss.item() == pytest.approx(entropy.item() + 1 - torch.stack(dice).mean().item(), rel=1e-5)
    counts = np.bincount(masks[masks != 255].numpy())
    assert objective.weights.tolist() == pytest.approx((counts.sum() / (3 * counts)).tolist())
    empty = {**batch, "masks": torch.full_like(masks, 255)}
    assert torch.isfinite(objective.step(lambda _: logits, empty, GENERATOR, training=True).loss)


def test_pictures_and_masks_are_augmented_together_and_the_freed_border_is_ignored() -> None:
    masks = torch.randint(0, 250, (32, 8, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    masks[:, 0, 0] = 255
    batch = {"images": masks[..., None].clone(), "masks": masks}
    spec = AugmentSpec(flip=True, flip_vertical=True, shift_pixels=3)
    objective = SegmentationObjective(TrainSpec(augment=spec), prepared("masks", masks, 250))
    made = objective.augment(batch, spec, torch.Generator().manual_seed(1))
    images, moved = made["images"][..., 0], made["masks"]
    assert moved.dtype == torch.uint8
    freed = moved != images
    assert (moved[freed] == 255).all()
    assert (images[freed] == 0).all()
    assert 0.2 < freed.float().mean() < 0.7
    assert (moved != masks).any()
