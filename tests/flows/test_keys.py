"""Keys say what changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contracts import located_yaml
from components.contracts.pipeline import PipelineSpec
from flows import keys
from flows.keys import Key

ROOT = Path(__file__).resolve().parents[2]


def test_the_same_parts_are_the_same_key() -> None:
    assert Key({"a": 1, "b": None}).digest == Key({"b": None, "a": 1}).digest
    assert Key({"a": 1}).digest != Key({"a": 1.5}).digest


def test_changes_are_worded() -> None:
    before = {"data": "a" * 64, "train.epochs": 3, "function m:f": "1", "function m:g": "1", "library numpy": "2.0"}
    now = Key({"data": "b" * 64, "train.epochs": 4, "function m:f": "2", "function m:h": "1", "library numpy": "2.1"})
    assert now.changes(before) == [
        "data aaaaaaaaaaaa -> bbbbbbbbbbbb",
        "m:f changed",
        "m:g is gone",
        "m:h is new",
        "numpy 2.0 -> 2.1",
        "train.epochs 3 -> 4",
    ]
    assert now.changes(now.parts) == []


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_a_training_is_its_data_specs_code_and_libraries(name: str) -> None:
    spec = located_yaml.read(ROOT / "pipelines" / f"{name}.yaml", PipelineSpec)
    key = keys.training(spec, "d" * 64, ROOT)
    modules = {part.split()[1].split(":")[0] for part in key.parts if part.startswith("function ")}
    assert spec.model.module in modules
    assert "components.training.loop" in modules
    assert "library torch" in key.parts
    others = {"components.models.resnet", "components.models.textbook_cnn"} - {spec.model.module}
    assert not modules & others
    assert not any(module.startswith(("serving", "flows", "components.evaluation")) for module in modules)
    assert keys.training(spec, "e" * 64, ROOT).digest != key.digest
