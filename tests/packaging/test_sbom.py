"""What a bundle lists of what it carries: valid CycloneDX, complete, the same each time; and the licences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.packaging import licences, requirements, sbom
from tests import small_package

LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"


@pytest.mark.slow  # reads the schema for a second
def test_the_list_is_valid_and_names_model_and_libraries_with_hashes_and_licences(tmp_path: Path) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    package = small_package.build(tmp_path / "package")
    pins = requirements.pinned(LOCK, small_package.LIBRARIES)
    hashes = requirements.hashes(LOCK, pins)
    declared = licences.of_pins(pins)
    text = sbom.document(package, "4", declared, hashes, "c" * 64)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    assert error is None, str(error)[:300]
    assert sbom.document(package, "4", declared, hashes, "c" * 64) == text
    document = json.loads(text)
    assert "timestamp" not in document["metadata"]
    components = {one["bom-ref"]: one for one in document["components"]}
    assert {f"pkg:pypi/{pin.replace('==', '@')}" for pin in pins} <= components.keys()
    onnx = next(one for ref, one in components.items() if ref.startswith("pkg:pypi/onnxruntime@"))
    assert {one["content"] for one in onnx["hashes"]} == set(hashes["onnxruntime"])
    assert onnx["licenses"] == [{"license": {"id": "MIT"}}] or onnx["licenses"] == [
        {"license": {"name": "MIT License"}}
    ]
    model = components["model"]
    assert model["type"] == "machine-learning-model"
    said = {one["name"]: one["value"] for one in model["properties"]}
    assert said["modelyard:package_digest"] == package.digest
    assert said["modelyard:data_digest"] == package.facts.data_digest
    files = {one["name"]: one["hashes"][0]["content"] for one in model["components"]}
    assert files["model.onnx"] == package.manifest.files["model.onnx"].sha256
    assert sbom.document(package, "5", declared, hashes, "c" * 64).count(document["serialNumber"]) == 0


def test_every_library_has_a_licence_and_an_unknown_one_is_said_to_have_none() -> None:
    pins = requirements.pinned(LOCK, small_package.LIBRARIES)
    declared = licences.of_pins(pins)
    assert [f"{one.library}=={one.version}" for one in declared] == pins
    assert [one.library for one in declared if one.text == licences.NOT_DECLARED] == []
    unknown = licences.of_pins(["no-such-library==1.0", "numpy==0.0.1"])
    assert [one.text for one in unknown] == [licences.NOT_DECLARED] * 2
    text = licences.as_text([*declared, *unknown])
    assert "   2  not declared" in text
    assert "numpy 2" in text
