"""Semantic segmentation, from images and masks to masks in the size of the picture that was sent."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.core.errors import SampleError
from components.inference.difference import FAR, difference
from components.ingestion import png
from components.preprocessing import mask
from components.preprocessing.batch import Arrays
from components.tasks import find
from components.tasks.semantic_segmentation import SegmentationProcessor
from tests.tasks import whole_path

TASK = find("semantic-segmentation")
SETTINGS = {"height": 16, "width": 16, "channels": 1}


def sample(width: int, height: int, *, ignored: bool = False) -> dict[str, Any]:
    """A bright rectangle, class `white` of number 7, in the left upper quarter."""
    numbers = np.zeros((height, width), np.uint8)
    numbers[: height // 2, : width // 2] = 7
    image = png.encode(np.where(numbers == 7, 250, 10).astype(np.uint8))
    if ignored:
        numbers[-1] = 255
    return {"image": image, "mask": png.encode(numbers), "mask_classes": {"0": "zero", "7": "white"}}


SAMPLES = [sample(64, 32, ignored=True), sample(32, 32), sample(16, 48)]


@pytest.fixture(params=["stretch", "pad"])
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> SegmentationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS, resize=request.param)


def network(graph: str, feed: Arrays) -> Arrays:
    """White where it is bright; classes are sorted by their names: white, zero."""
    bright = feed["images"][..., 0] / 255
    return {"probabilities": np.stack([bright, 1 - bright], axis=1).astype(np.float32)}


def decoded(answer: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"]))))


def test_masks_come_back_in_the_size_of_the_picture_that_was_sent(processor: SegmentationProcessor) -> None:
    read = [processor.read(one["image"], max_pixels=10_000) for one in SAMPLES]
    answers = whole_path.alone_and_batched(processor, network, read, processor.classes)
    for one, answer in zip(SAMPLES, answers, strict=True):
        truth, found = mask.decode(one["mask"]) == 7, decoded(answer)
        assert found.shape == truth.shape == (answer["height"], answer["width"])
        assert ((found == 0) == truth).mean() > 0.9
        assert [row["label"] for row in answer["classes"]] == ["white", "zero"]
        assert answer["classes"][0]["share"] == (found == 0).mean()
    assert processor.endpoint(processor.classes).file.field == "mask"
    assert TASK.agree(answers[0], answers[0])
    assert not TASK.agree({"classes": [{"label": "a", "share": 0.1}]}, {"classes": [{"label": "a", "share": 0.2}]})


def test_prepared_masks_have_the_geometry_of_their_images(processor: SegmentationProcessor) -> None:
    batch = whole_path.stored(processor, processor.encode(whole_path.raws(TASK, SAMPLES, processor)))
    assert processor.classes == ["white", "zero"]
    for image, numbers in zip(batch["images"][..., 0], batch["masks"], strict=True):
        clear = (image > 200) | (image < 15)
        assert ((image > 200) == (numbers == 0))[clear & (numbers != 255)].all()
    padded = processor.resize == "pad"
    assert (batch["masks"][2] == 255).any() == padded  # a high picture has bars at both sides
    assert (batch["masks"][0] == 255).sum() > 0
    looked = TASK.describe_prepared(batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["classes"].tolist() == [2, 2, 2]
    assert tuple(TASK.describe(SAMPLES[0])) == TASK.raw_columns
    assert TASK.labels(SAMPLES[0]) == TASK.strata(SAMPLES[0]) == ["white", "zero"]
    assert TASK.example(SAMPLES[0]).truth == "white, zero"


def test_masks_that_cannot_be_are_refused_and_seen(processor: SegmentationProcessor) -> None:
    broken = {**SAMPLES[0], "mask": b"x"}
    assert TASK.describe(broken)["mask_readable"] is False
    settings = TASK.settings.model_validate(SETTINGS)
    with pytest.raises(SampleError, match="the mask is damaged"):
        TASK.decode(broken, settings)
    with pytest.raises(SampleError, match="not of the size"):
        TASK.decode({**SAMPLES[0], "mask": SAMPLES[1]["mask"]}, settings)
    unnamed = [SAMPLES[0], {**SAMPLES[0], "mask_classes": {"0": "zero"}}]
    with pytest.raises(SampleError, match="numbers of no class") as caught:
        processor.encode(whole_path.raws(TASK, unnamed, processor))
    assert caught.value.where == "sample 1"


def test_masks_differ_by_the_share_of_their_pixels() -> None:
    first = np.zeros((10, 10), np.uint8)
    second = first.copy()
    second[0, 0] = 200
    one, other = ({"mask": base64.b64encode(png.encode_indexed(numbers, mask.palette(2))).decode()}
                  for numbers in (first, second))  # fmt: skip
    assert difference(one, one) == 0
    assert 0.005 < difference(one, other) < 0.02
    assert difference(one, {"mask": "x"}) == FAR


def test_the_palette_is_that_of_pascal_voc() -> None:
    assert mask.palette(4).tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    assert mask.colours(["a", "background", "c"]).tolist() == [[128, 0, 0], [0, 0, 0], [0, 128, 0]]
    assert len({tuple(colour) for colour in mask.palette(256).tolist()}) == 256
