"""Parameters are counted without a network's values; a network of twice the widths has about four times as many."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from components.contracts.architectures.scaling import scaled
from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.models.build import build
from components.models.parameters import count

IMAGES, DIGITS = ImageInput(height=8, width=8, channels=1, mean=[0.0], std=[1.0]), ClassesOutput(classes=10)


def test_parameters_are_those_of_the_network() -> None:
    spec: Any = TypeAdapter(ModelSpec).validate_python({"family": "cnn", "name": "resnet", "depth": 8})
    counted = count(spec, IMAGES, DIGITS)
    assert counted == sum(weight.numel() for weight in build(spec, IMAGES, DIGITS).parameters())
    assert count(scaled(spec, 2.0), IMAGES, DIGITS) == pytest.approx(4 * counted, rel=0.05)  # type: ignore[arg-type]
