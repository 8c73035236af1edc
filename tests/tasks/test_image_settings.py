"""Settings of image tasks: their digests, the decoding in training and in service, what a draft chooses."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from components.core.errors import SampleError
from components.drafting.profile import Profile
from components.tasks import find, image_settings
from components.tasks.image_settings import ImageClassificationSettings
from components.tasks.task import RawSample
from tests.tasks import whole_path

TASK = find("image-classification")
SIZE = {"height": 16, "width": 16, "channels": 1}


def tiff(scale: float, kind: str = "float32", turn: bool = False) -> bytes:
    values = (np.outer(np.arange(16), np.ones(16)) / 15 * scale).astype(kind)
    stream = io.BytesIO()
    Image.fromarray(values.T.copy() if turn else values).save(stream, "TIFF")
    return stream.getvalue()


def profiled(*contents: bytes, settings: Any = None) -> Profile:
    profile = Profile()
    for content in contents:
        profile.samples += 1
        for name, value in TASK.describe({"image": content, "label": "a"}, settings).items():  # type: ignore[call-arg]
            profile.columns[name].append(value)
    return profile


def test_a_dataset_without_the_later_keys_is_dumped_as_before() -> None:
    settings = ImageClassificationSettings.model_validate({"height": 8, "width": 8, "channels": 1})
    assert settings.model_dump(mode="json") == {"height": 8, "width": 8, "channels": 1}
    others = {"max_megapixels": 50.0, "levels": [0.0, 1.0], "resize": "pad", "normalise": [[0.5], [0.25]]}
    assert ImageClassificationSettings.model_validate({**SIZE, **others}).model_dump(mode="json") == {**SIZE, **others}


@pytest.mark.parametrize(
    "wrong",
    [
        {"levels": [1]},
        {"levels": [1, 1]},
        {"levels": [0, float("inf")]},
        {"resize": "fit"},
        {"max_megapixels": 0},
        {"normalise": "imagenet"},
        {"normalise": [[0.5]]},
        {"normalise": [[0.5, 0.5], [1.0, 1.0]]},
        {"normalise": [[128.0], [60.0]]},
        {"normalise": [[0.5], [0.0]]},
        {"shortest_edge": 16},
        {"shortest_edge": 15, "resize": "crop"},
        {"shortest_edge": 16, "resize": "pad"},
        {"resample": "area"},
        {"processor": "weights"},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImageClassificationSettings.model_validate({**SIZE, **wrong})


@pytest.mark.parametrize("task", ["image-classification", "object-detection", "semantic-segmentation"])
def test_the_normalisation_is_that_of_the_train_split_or_what_is_stated(task: str) -> None:
    found = {}
    for normalise in (None, "dataset", "imagenet", [[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]):
        settings = find(task).settings.model_validate({**SIZE, "channels": 3, "normalise": normalise})
        raw = RawSample({}, {"images": np.full((16, 16, 3), 51, np.uint8)})
        processor = find(task).fit(settings, iter([raw]), ["a", "b"])
        spec = processor.input_spec()
        found[str(normalise)] = spec.mean, spec.std, spec.normalise  # type: ignore[attr-defined]
    assert found["None"] == ([pytest.approx(0.2)] * 3, [0.001] * 3, "auto")
    assert found["dataset"] == (*found["None"][:2], "dataset")
    assert found["imagenet"] == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225], "stated")
    assert found["[[0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]"] == ([0.1, 0.2, 0.3], [0.5] * 3, "stated")


def test_image_generation_reads_no_statistics() -> None:
    with pytest.raises(ValidationError, match="reads no statistics"):
        find("image-generation").settings.model_validate({**SIZE, "normalise": "dataset"})


def test_the_crop_of_weights_reaches_training_and_service(tmp_path: Path) -> None:
    later = {"resize": "crop", "shortest_edge": 20, "resample": "bicubic", "processor": "dataset"}
    samples = [{"image": tiff(255, "uint8"), "label": "a"}, {"image": tiff(200, "uint8", turn=True), "label": "b"}]
    processor: Any = whole_path.fitted(TASK, samples, tmp_path, **SIZE, **later)
    assert processor.model_dump(mode="json").items() >= later.items()
    framing = processor.input_spec().framing
    assert framing.model_dump() == {"resize": "crop", "shortest_edge": 20, "resample": "bicubic", "stated": True}
    for sample in samples:
        trained = TASK.decode(sample, TASK.settings.model_validate({**SIZE, **later}))["images"]
        assert (processor.read(sample["image"], max_pixels=10_000)["images"] == trained).all()
        assert (trained != TASK.decode(sample, TASK.settings.model_validate(SIZE))["images"]).any()


def test_detection_does_not_crop() -> None:
    settings = find("object-detection").settings
    assert settings.model_validate({**SIZE, "resize": "pad"})
    with pytest.raises(ValidationError):
        settings.model_validate({**SIZE, "resize": "crop"})


@pytest.mark.parametrize("name", ["image-classification", "object-detection"])
def test_training_and_service_decode_alike(name: str, tmp_path: Path) -> None:
    task = find(name)
    rest = {"label": "a"} if name == "image-classification" else {"boxes": []}
    samples = [{"image": tiff(1.0), **rest}, {"image": tiff(0.5, turn=True), **rest}]
    settings = {**SIZE, "height": 24, "levels": [0.0, 1.0], "resize": "pad"}
    processor = whole_path.fitted(task, samples, tmp_path, **settings)
    for sample in samples:
        trained = task.decode(sample, task.settings.model_validate(settings))["images"]
        served = processor.read(sample["image"], max_pixels=10_000)["images"]
        assert (trained == served).all()
        assert trained[4:20].max() - trained[4:20].min() > 120


def test_the_service_has_a_limit_of_its_own(tmp_path: Path) -> None:
    processor = whole_path.fitted(TASK, [{"image": tiff(255, "uint8"), "label": "a"}], tmp_path, **SIZE)
    with pytest.raises(SampleError, match="too many pixels") as caught:
        processor.read(tiff(255, "uint8"), max_pixels=100)
    assert "serving.max_image_megapixels" in str(caught.value.expected)


def test_the_service_reduces_the_photos_that_training_reduced(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (1200, 1600), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG")
    sample = {"image": stream.getvalue(), "label": "a"}
    processor = whole_path.fitted(TASK, [sample], tmp_path, **SIZE, max_megapixels=1.0)
    trained = TASK.decode(sample, TASK.settings.model_validate({**SIZE, "max_megapixels": 1.0}))["images"]
    assert (processor.read(sample["image"], max_pixels=25_000_000)["images"] == trained).all()
    assert (TASK.decode(sample, TASK.settings.model_validate(SIZE))["images"] != trained).any()


def test_a_draft_states_the_range_of_what_was_seen() -> None:
    seen = profiled(tiff(0.9), tiff(0.98), tiff(0.4, turn=True))
    settings = TASK.draft_settings(seen, {})
    assert settings == {"height": 16, "width": 16, "channels": 1, "levels": [0.0, 1.0]}
    [note] = TASK.draft_notes(seen, settings)
    assert "3 of 3 images" in note
    assert "0 to 0.98" in note
    chosen = ImageClassificationSettings.model_validate(settings)
    again = profiled(tiff(0.9), tiff(0.0), settings=chosen)
    assert again.columns["constant"] == [False, True]
    assert "levels" not in TASK.draft_settings(profiled(tiff(200, "uint8")), {})
    assert TASK.draft_settings(profiled(tiff(4056, "uint16")), {})["levels"] == [0, 4095]


def test_images_of_few_levels_are_noted() -> None:
    [few, constant] = TASK.draft_notes(profiled(tiff(200, "uint8"), tiff(15, "uint8"), tiff(0, "uint8")), {})
    assert few.startswith("1 of 3 images span at most 15 of 255 levels")
    assert constant.startswith("1 of 3 images are of a single level")
    assert TASK.draft_notes(profiled(tiff(200, "uint8")), {}) == []


def test_files_that_cannot_be_read_do_not_count_in_a_draft() -> None:
    seen = profiled(b"spam", b"", b"II*\x00", tiff(200, "uint8"))
    assert TASK.draft_settings(seen, {}) == {"height": 16, "width": 16, "channels": 1}


def test_the_columns_are_those_of_the_description() -> None:
    assert tuple(TASK.describe({"image": b"", "label": ""})) == image_settings.RAW_COLUMNS == TASK.raw_columns
