"""The image processor of an export makes of a picture what the service makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageFraming, ImageInput
from components.core.errors import UsageError
from components.models.build import build
from components.training import hub_config, image_processor

SPEC: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
MODEL = {"family": "cnn", "name": "convnext", "widths": [4, 8], "depths": [1, 1], "patch": 2}


def written(folder: Path, framing: dict[str, Any], height: int = 24, width: int = 24) -> ImageInput:
    """The files of an untrained network for images fitted so."""
    folder.mkdir(exist_ok=True)
    size = {"height": height, "width": width, "channels": 3, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
    spec = ImageInput.model_validate(size | {"framing": framing})
    network = build(SPEC.validate_python(MODEL), spec, ClassesOutput(classes=2))
    hub_config.write(folder, network, spec, ClassesOutput(classes=2), ["a", "b"])
    return spec


@pytest.mark.parametrize(
    ("framing", "height", "tolerance"),
    [
        ({}, 24, 1),
        ({"resample": "bicubic"}, 32, 1),
        ({"resize": "crop", "shortest_edge": 32, "resample": "bicubic"}, 24, 1),
        ({"resize": "crop", "shortest_edge": 41}, 32, 1),
        # One step of ours against two of theirs: half a pixel apart at most.
        ({"resize": "crop", "resample": "lanczos"}, 24, 40),
    ],
)
def test_the_processor_fits_images_as_the_dataset_does(
    framing: dict[str, Any], height: int, tolerance: int, tmp_path: Path
) -> None:
    spec = written(tmp_path, framing, height)
    processor = image_processor.opened(tmp_path)
    picture = image_processor._probe().resize((90, 67))
    ours = image_processor.framed(picture, image_processor.Fitting(height, 24, ImageFraming.model_validate(framing)))
    theirs = image_processor.theirs(processor, picture)
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours).max() <= tolerance
    pixels = processor(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    expected = (theirs / 255 - np.array(spec.mean)) / np.array(spec.std)
    np.testing.assert_allclose(pixels, expected, atol=0.02)


@pytest.mark.parametrize(
    ("framing", "height"), [({"resize": "pad"}, 24), ({"resize": "crop"}, 32)], ids=["padded", "rectangle"]
)
def test_what_no_processor_of_transformers_does_has_none(
    framing: dict[str, Any], height: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, framing, height)
    assert (tmp_path / "config.json").is_file()
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert "no preprocessor_config.json" in "".join(capsys.readouterr())


def test_an_export_is_a_source_of_weights_for_the_same_images(tmp_path: Path) -> None:
    """`image_processor.check` finds the settings of the dataset in the processor that was written for it."""
    framing = {"resize": "crop", "shortest_edge": 32, "resample": "bicubic"}
    spec = written(tmp_path, framing)
    document = json.loads((tmp_path / "preprocessor_config.json").read_bytes())
    image_processor.check(document, tmp_path, spec, "test")
    stretched = spec.model_copy(update={"framing": ImageFraming()})
    with pytest.raises(UsageError, match="fitted into their size in another way"):
        image_processor.check(document, tmp_path, stretched, "test")
