"""Object detection, from annotated images to boxes in pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.core.errors import SampleError
from components.preprocessing.batch import Arrays
from components.tasks import find
from components.tasks.object_detection import ObjectDetectionParameters, ObjectDetectionProcessor
from tests.preprocessing.test_boxes import box
from tests.tasks import whole_path

TASK = find("object-detection")


def picture(width: int, height: int, place: tuple[int, int, int, int] | None = None) -> bytes:
    image = Image.new("L", (width, height), 10)
    if place:
        image.paste(250, place)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


SAMPLES = [
    {"image": picture(64, 32, (8, 8, 24, 24)), "boxes": [box("white", 8, 8, 24, 24), box("red", 0, 0, 64, 32)]},
    {"image": picture(32, 32), "boxes": []},
    {"image": picture(16, 64, (0, 0, 8, 32)), "boxes": [box("white", 0, 0, 8, 32), box("white", 3, 3, 3, 3)]},
]
SETTINGS = {"height": 16, "width": 16, "channels": 1}


@pytest.fixture
def processor(tmp_path: Path) -> ObjectDetectionProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS)


def network(graph: str, feed: Arrays) -> Arrays:
    """The frame of what is bright, twice, and the whole image."""
    assert graph == "model"
    boxes = np.zeros((len(feed["images"]), 3, 4), np.float32)
    scores = np.zeros((len(feed["images"]), 3, 2), np.float32)
    for row, image in enumerate(feed["images"][..., 0]):
        bright = np.argwhere(image > 128)
        if len(bright):
            (top, left), (bottom, right) = bright.min(axis=0) / 16, (bright.max(axis=0) + 1) / 16
            boxes[row, :2] = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
            scores[row, :2, 1] = [0.8, 0.9]
        boxes[row, 2] = [0.5, 0.5, 1, 1]
        scores[row, 2, 0] = 0.2
    return {"boxes": boxes, "scores": scores}


def test_boxes_come_back_in_pixels_of_the_image_that_was_sent(processor: ObjectDetectionProcessor) -> None:
    samples = [processor.read(sample["image"], max_pixels=10_000) for sample in SAMPLES]
    answers = whole_path.alone_and_batched(processor, network, samples, ["red", "white"])
    expected = [[(8, 8, 24, 24)], [], [(0, 0, 8, 32)]]
    for answer, places in zip(answers, expected, strict=True):
        found = [tuple(one[name] for name in ("xmin", "ymin", "xmax", "ymax")) for one in answer["boxes"]]
        assert found == [pytest.approx(place, abs=2.1) for place in places]
        assert all((one["label"], round(one["score"], 3)) == ("white", 0.9) for one in answer["boxes"])
    unsure = processor.answer(
        network, samples, ["red", "white"], ObjectDetectionParameters(score_threshold=0.1, max_boxes=2)
    )
    assert [len(answer["boxes"]) for answer in unsure] == [2, 1, 2]
    both = processor.answer(network, samples[:1], ["red", "white"], ObjectDetectionParameters(iou_threshold=1.0))
    assert len(both[0]["boxes"]) == 2


def test_padded_images_have_padded_boxes_and_answers_in_their_own_pixels(tmp_path: Path) -> None:
    padding = whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS, resize="pad")
    encoded = padding.encode(whole_path.raws(TASK, SAMPLES, padding))
    assert encoded[0]["boxes"].tolist() == [[0.25, 0.5, 0.25, 0.25], [0.5, 0.5, 1.0, 0.5]]  # 64x32 in 16x16
    samples = [padding.read(sample["image"], max_pixels=10_000) for sample in SAMPLES]
    answers = whole_path.alone_and_batched(padding, network, samples, ["red", "white"])
    for answer, place in ((answers[0], (8, 8, 24, 24)), (answers[2], (0, 0, 8, 32))):
        [found] = answer["boxes"]
        assert [found[name] for name in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx(place, abs=4.1)


def test_prepared_samples_hold_boxes_in_parts_of_the_image(processor: ObjectDetectionProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, processor))
    batch = whole_path.stored(processor, encoded)
    assert processor.classes == ["red", "white"]
    assert batch["boxes_lengths"].tolist() == batch["box_classes_lengths"].tolist() == [2, 0, 1]  # one has no area
    assert batch["boxes"][0].tolist() == [[0.25, 0.5, 0.25, 0.5], [0.5, 0.5, 1.0, 1.0]]
    assert batch["box_classes"][0].tolist() == [1, 0]
    looked = TASK.describe_prepared(batch)
    assert tuple(looked) == TASK.prepared_columns
    assert looked["boxes"].tolist() == [2, 0, 1]
    assert looked["least_side"].tolist() == [0.25, 1, 0.5]
    assert looked["largest_class"].tolist() == [1, -1, 1]


def test_what_is_scored_has_unsure_boxes_too(processor: ObjectDetectionProcessor) -> None:
    images = np.stack([processor.read(sample["image"], max_pixels=10_000)["images"] for sample in SAMPLES])
    found = processor.detections(network, images)
    assert [one.classes.tolist() for one in found] == [[1, 0], [0], [1, 0]]
    stored = processor.answer(network, [{"images": images[0]}], ["red", "white"], None)
    assert stored[0]["boxes"][0]["xmax"] == pytest.approx(6)  # of the network's own image, 16 pixels wide


def test_what_a_network_gets_and_gives(processor: ObjectDetectionProcessor) -> None:
    assert (processor.input_spec().kind, processor.output_spec().kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert processor.output_spec().classes == 2
    pixels = np.concatenate([raw.decoded["images"].ravel() for raw in whole_path.raws(TASK, SAMPLES, processor)]) / 255
    assert processor.mean == pytest.approx([pixels.mean()])
    assert processor.std == pytest.approx([pixels.std()])


@pytest.mark.parametrize("content", [b"", b"no image", SAMPLES[0]["image"][:60]])
def test_bad_images_are_refused_and_seen(processor: ObjectDetectionProcessor, content: bytes) -> None:
    with pytest.raises(SampleError):
        processor.read(content, max_pixels=10_000)
    seen = TASK.describe({"image": content, "boxes": []})
    assert seen["readable"] is False
    assert tuple(seen) == TASK.raw_columns
    with pytest.raises(SampleError, match="too many pixels"):
        processor.read(SAMPLES[0]["image"], max_pixels=100)


def test_bad_boxes_are_seen_and_refused(processor: ObjectDetectionProcessor) -> None:
    assert TASK.describe(SAMPLES[2])["degenerate"] == 1
    for wrong, why in (([{"label": "red"}], "cannot be read"), ([box("blue", 0, 0, 9, 9)], "none of the classes")):
        raws = whole_path.raws(TASK, [SAMPLES[1], {"image": picture(9, 9), "boxes": wrong}], processor)
        with pytest.raises(SampleError, match=why) as caught:
            processor.encode(raws)
        assert caught.value.where == "sample 1"


def test_parameters_that_cannot_be_are_refused() -> None:
    for wrong in ({"score_threshold": 0.0}, {"iou_threshold": 2.0}, {"max_boxes": 0}, {"spam": 1}):
        with pytest.raises(ValidationError):
            ObjectDetectionParameters.model_validate(wrong)


def test_an_example_says_what_is_in_it() -> None:
    example = TASK.example(SAMPLES[2])
    assert (example.media, example.suffix, example.truth) == ("image/png", ".png", "2 white")
    assert TASK.labels(SAMPLES[0]) == ["red", "white"]
    assert TASK.strata(SAMPLES[0]) == ["red", "white"]
    assert TASK.strata(SAMPLES[1]) == []


def test_difficult_boxes_and_crowds_are_kept_apart(tmp_path: Path) -> None:
    flagged = [
        {**box("red", 0, 0, 8, 8), "crowd": True}, {**box("blue", 0, 0, 8, 8), "difficult": True},
        box("white", 8, 8, 24, 24), {**box("white", 0, 0, 64, 32), "difficult": True},
    ]  # fmt: skip
    samples = [{**SAMPLES[0], "boxes": flagged}, {**SAMPLES[0], "boxes": SAMPLES[0]["boxes"]}]
    processor = whole_path.fitted(TASK, samples, tmp_path, **SETTINGS)
    assert processor.classes == ["red", "white"]  # blue has no other box
    batch = whole_path.stored(processor, processor.encode(whole_path.raws(TASK, samples, processor)))
    assert batch["box_classes"][0].tolist() == [1, 1, 0]
    assert batch["box_flags"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert TASK.describe_prepared(batch)["boxes"].tolist() == [2, 2]
    assert TASK.describe(samples[0])["boxes"] == 3  # without the crowd
    assert TASK.example(samples[0]).truth == "1 white"
