"""mAP from bins of scores against the evaluation's exact one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from components.evaluation.detection import SCORER
from components.preprocessing.boxes import Detections
from components.training.batches import Batch
from components.training.objectives import average_precision

CLASSES = ["cell", "plate", "nowhere"]


def drawn(images: int = 40) -> tuple[torch.Tensor, torch.Tensor, Batch]:
    """Detections of twelve boxes an image, some near one of its true boxes; the class 2 has none."""
    rng = np.random.default_rng(0)
    true = np.zeros((images, 3, 4), np.float32)
    true[..., :2], true[..., 2:] = rng.uniform(0.2, 0.8, (images, 3, 2)), rng.uniform(0.1, 0.2, (images, 3, 2))
    kinds, counts = rng.integers(0, 2, (images, 3)), rng.integers(2, 4, images)
    owner = rng.integers(0, 3, (images, 12))
    boxes = np.take_along_axis(true, owner[..., None], axis=1) * rng.normal(1, 0.05, (images, 12, 4))
    scores = rng.uniform(0, 0.3, (images, 12, 3))
    sure = rng.uniform(0.2, 1, (images, 12))
    np.put_along_axis(scores, np.take_along_axis(kinds, owner, axis=1)[..., None], sure[..., None], axis=2)
    batch = {
        "boxes": torch.from_numpy(true), "box_classes": torch.from_numpy(kinds),
        "boxes_lengths": torch.from_numpy(counts),
    }  # fmt: skip
    return torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(scores.astype(np.float32)), batch


def test_it_is_the_evaluations_but_for_the_bins() -> None:
    boxes, scores, batch = drawn()
    binned = (scores * average_precision.BINS).floor() / average_precision.BINS + 0.005
    halves = [slice(0, 15), slice(15, 40)]
    totals = sum(
        average_precision.sums(boxes[part], binned[part], {name: value[part] for name, value in batch.items()})
        for part in halves
    )
    assert isinstance(totals, torch.Tensor)
    found, true = [], []
    for row, count in enumerate(batch["boxes_lengths"].tolist()):
        found.append(
            average_precision.non_max_suppression(
                boxes[row].numpy(), binned[row].numpy(), score_threshold=0.01, iou_threshold=0.5, max_detections=100
            )
        )
        kinds = batch["box_classes"][row, :count].numpy()
        true.append(Detections(batch["boxes"][row, :count].numpy(), np.ones(count, np.float32), kinds))
    exact = SCORER.of_images(found, true, CLASSES).figures()["map_50"]
    assert 0.2 < exact < 0.95
    assert average_precision.mean_average_precision(totals.tolist()) == pytest.approx(exact, abs=0.02)


def test_without_boxes_or_detections_it_is_zero() -> None:
    boxes, scores, batch = drawn(2)
    nothing = batch | {"boxes_lengths": torch.zeros(2, dtype=torch.int64)}
    for sums in (average_precision.sums(boxes, scores, nothing), average_precision.sums(boxes, scores * 0, batch)):
        assert average_precision.mean_average_precision(sums.tolist()) == 0
