"""Image generation: from images to a schedule of noise, and from a seed to a PNG file."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.core.errors import SampleError
from components.preprocessing.batch import Arrays
from components.preprocessing.noise_schedule import alphas_cumprod
from components.tasks import ddim, find
from components.tasks.image_generation import ImageGenerationProcessor
from tests.tasks import whole_path
from tests.tasks.test_object_detection import picture

TASK = find("image-generation")
SAMPLES = [
    {"image": picture(8, 6, (0, 0, 8, 3)), "label": "top"},
    {"image": picture(8, 6, (0, 3, 8, 6)), "label": "base"},
]
SETTINGS = {"height": 6, "width": 8, "channels": 1, "noise_steps": 100, "default_steps": 10}
KEPT = alphas_cumprod("cosine", 100)
WANTED = np.stack([np.full((1, 6, 8), level) for level in (-0.6, 0.2, 0.7)])  # of each class, and of none


@pytest.fixture
def processor(tmp_path: Path) -> ImageGenerationProcessor:
    return whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS)


def network(graph: str, feed: Arrays) -> Arrays:
    """Tells the noise exactly: what an image of that class has not."""
    assert graph == "model"
    assert {name: str(array.dtype) for name, array in feed.items()} == {
        "noisy": "float32", "step": "int64", "label": "int64",
    }  # fmt: skip
    share = KEPT[feed["step"]][:, None, None, None]
    told = (feed["noisy"] - np.sqrt(share) * WANTED[feed["label"]]) / np.sqrt(1 - share)
    return {"noise": told.astype(np.float32)}


def pixels(answer: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["image"]))))


def test_what_is_asked_for_is_drawn_alike_alone_and_batched(processor: ImageGenerationProcessor) -> None:
    asked = [{"label": "base", "seed": 1}, {"label": "top", "steps": 3}, {"label": "top", "seed": 7, "guidance": 0.0}]
    samples = [processor.read(item, max_pixels=0) for item in processor.items({"samples": asked})]
    answers = whole_path.alone_and_batched(processor, network, samples, ["base", "top"])
    levels = [round((level + 1) * 127.5) for level in (-0.6, 0.2, 0.7)]
    for answer, level in zip(answers, levels, strict=True):
        assert pixels(answer).shape == (6, 8)
        assert np.abs(pixels(answer).astype(int) - level).max() <= 1
    assert [answer["steps"] for answer in answers] == [10, 3, 10]
    assert [answer["label"] for answer in answers] == ["base", "top", "top"]


def test_guidance_goes_beyond_the_class_and_away_from_none(processor: ImageGenerationProcessor) -> None:
    samples = [processor.read({"label": "top", "guidance": guidance}, max_pixels=0) for guidance in (0.5, 1.0, 2.0)]
    levels = [pixels(answer).mean() for answer in processor.answer(network, samples, ["base", "top"], None)]
    assert levels[0] == pytest.approx((0.45 + 1) * 127.5, abs=1)
    assert levels[1] == pytest.approx((0.2 + 1) * 127.5, abs=1)
    assert levels[2] == pytest.approx((-0.3 + 1) * 127.5, abs=1)


def test_seeds_are_noise() -> None:
    noise = ddim.initial_noise(np.asarray([3, 4, 3]), (1, 6, 8))
    assert (noise[0] == noise[2]).all()
    assert (noise[0] != noise[1]).any()
    blind = [ddim.sample(lambda noisy, _: noisy * 0.9, noise[row : row + 1], KEPT, 5) for row in range(3)]
    assert (blind[0] == blind[2]).all()
    assert (blind[0] != blind[1]).any()


def test_steps_are_those_of_the_paper() -> None:
    """Eq. 12 with eta 0, written out, where nothing has to be held within -1..1."""
    noise = np.random.default_rng(0).normal(size=(2, 1, 2, 2)).astype(np.float32) * 0.1
    kept = np.asarray([0.9, 0.6, 0.3])

    def guess(noisy: np.ndarray, step: np.ndarray) -> np.ndarray:
        return noisy * (0.1 + 0.1 * step[:, None, None, None]).astype(np.float32)

    image = noise.astype(np.float64)
    for step, after in ((2, 0.6), (1, 0.9), (0, 1.0)):
        told = image * (0.1 + 0.1 * step)
        clean = (image - np.sqrt(1 - kept[step]) * told) / np.sqrt(kept[step])
        image = np.sqrt(after) * clean + np.sqrt(1 - after) * told
    found = denoised = ddim.sample(guess, noise, kept, 3)
    assert denoised.shape == (2, 2, 2, 1)
    assert np.abs(found.transpose(0, 3, 1, 2) - ((image + 1) * 127.5)).max() <= 0.51


def test_images_get_the_noise_of_their_step(processor: ImageGenerationProcessor) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 6, 8, 1), np.uint8)
    noise = ddim.initial_noise(np.arange(3), (1, 6, 8))
    step = np.asarray([0, 50, 99])
    found = processor.noisy(images, noise, step)
    for row, place in enumerate(step):
        clean = images[row].transpose(2, 0, 1) / 127.5 - 1
        expected = np.sqrt(KEPT[place]) * clean + np.sqrt(1 - KEPT[place]) * noise[row]
        assert found[row] == pytest.approx(expected, abs=1e-6)
    assert processor.steps == 100


def test_scores_draw_as_the_service_does(processor: ImageGenerationProcessor) -> None:
    found = processor.generate(network, np.asarray([0, 1]), np.asarray([5, 6]))
    asked = [{"label": "base", "seed": 5}, {"label": "top", "seed": 6}]
    samples = [processor.read(item, max_pixels=0) for item in asked]
    answers = processor.answer(network, samples, ["base", "top"], None)
    for image, answer in zip(found, answers, strict=True):
        assert (image[..., 0] == pixels(answer)).all()


def test_colour_is_drawn_too(tmp_path: Path) -> None:
    processor = whole_path.fitted(TASK, SAMPLES, tmp_path, **{**SETTINGS, "channels": 3})
    sample = processor.read({"label": "top"}, max_pixels=0)
    answer = processor.answer(
        lambda _, feed: {"noise": feed["noisy"] * np.float32(0.5)}, [sample], ["base", "top"], None
    )
    assert pixels(answer[0]).shape == (6, 8, 3)


def test_images_are_prepared_as_those_of_image_classification(processor: ImageGenerationProcessor) -> None:
    encoded = processor.encode(whole_path.raws(TASK, SAMPLES, processor))
    batch = whole_path.stored(processor, encoded)
    assert batch["labels"].tolist() == [1, 0]
    assert (processor.input_spec().kind, processor.output_spec().kind) == (TASK.input_type.kind, TASK.output_type.kind)
    assert processor.input_spec().classes == 2  # the network adds one for a class that is hidden
    assert tuple(TASK.describe_prepared(batch)) == TASK.prepared_columns


@pytest.mark.parametrize(
    "item",
    [{}, {"label": "blue"}, {"label": "top", "seed": -1}, {"label": "top", "steps": 0}, {"label": "top", "steps": 2.5},
     {"label": "top", "guidance": 99.0}, {"label": "top", "spam": 1}, "top", b"\x00", None, {"label": 3}],
)  # fmt: skip
def test_bad_requests_are_refused(processor: ImageGenerationProcessor, item: object) -> None:
    with pytest.raises(SampleError):
        processor.read(item, max_pixels=0)


def test_guidance_is_refused_where_no_class_was_hidden(tmp_path: Path) -> None:
    processor = whole_path.fitted(TASK, SAMPLES, tmp_path, **SETTINGS, unlabelled=0.0)
    with pytest.raises(SampleError, match="without guidance"):
        processor.read({"label": "top", "guidance": 2.0}, max_pixels=0)


def test_an_example_is_a_request(processor: ImageGenerationProcessor) -> None:
    first, second = (TASK.example(sample) for sample in SAMPLES)
    assert (first.media, first.suffix, first.truth) == ("application/json", ".json", "top")
    asked = [processor.items(json.loads(example.content))[0] for example in (first, second)]
    assert [item["label"] for item in asked] == ["top", "base"]
    assert asked[0]["seed"] != asked[1]["seed"]
    processor.read(asked[0], max_pixels=0)
