"""A network from a module that lies in the project's folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from components.contracts.model_spec import ModelSpec
from components.contracts.shapes import ClassesOutput, ImageInput
from components.core.errors import UsageError
from components.models.build import build

GIVEN = ImageInput(height=4, width=5, channels=1, mean=[0.5], std=[0.5])
SOURCE = """
from torch import nn

def flat(input_spec, output_spec, hidden=3):
    size = input_spec.height * input_spec.width * input_spec.channels
    class Flat(nn.Sequential):
        def forward(self, images):
            return super().forward(images.flatten(1).float())
    return Flat(nn.Linear(size, hidden), nn.Linear(hidden, output_spec.classes))

def nothing(input_spec, output_spec):
    return "a network"
"""


def _build(factory: str, **options: object) -> torch.nn.Module:
    adapter: TypeAdapter[ModelSpec] = TypeAdapter(ModelSpec)
    config = adapter.validate_python({"family": "custom", "factory": factory, "options": options})
    return build(config, GIVEN, ClassesOutput(classes=7))


@pytest.fixture
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys_network.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_module")
def test_the_factory_gets_shapes_and_options() -> None:
    network = _build("somebodys_network:flat", hidden=6)
    assert network[0].out_features == 6
    assert network(torch.zeros(2, 4, 5, 1, dtype=torch.uint8)).shape == (2, 7)


@pytest.mark.usefixtures("_module")
@pytest.mark.parametrize(
    ("factory", "options", "words"),
    [
        ("not_installed_anywhere.models:build", {}, "not_installed_anywhere.models:build cannot be imported"),
        ("somebodys_network:missing", {}, "somebodys_network:missing cannot be imported"),
        ("somebodys_network:flat", {"depth": 3}, "flat failed"),
        ("somebodys_network:nothing", {}, "returns no network"),
    ],
)
def test_what_makes_no_network_is_refused(factory: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _build(factory, **options)
