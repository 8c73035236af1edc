"""A package, answering: as sealed, the same alone and in a batch, and only if graph and signature fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.contracts.errors import CorruptArtifactError, SampleError
from components.contracts.package import Package
from components.inference.predictor import Predictor
from tests import small_package


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return small_package.build(tmp_path / "package")


def test_alone_in_a_batch_and_in_another_order(package: Package) -> None:
    predictor = Predictor(package)
    contents = [small_package.image(seed) for seed in range(5)]
    alone = np.concatenate([predictor.probabilities(predictor.decode([content])) for content in contents])
    together = predictor.probabilities(predictor.decode(contents))
    backwards = predictor.probabilities(predictor.decode(contents[::-1]))[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(backwards, alone, atol=1e-6)


def test_pixels_of_another_shape_are_refused(package: Package) -> None:
    with pytest.raises(SampleError) as caught:
        Predictor(package).check(np.zeros((1, 9, 8, 1), np.uint8))
    assert caught.value.expected == "(N, 8, 8, 1)"


def test_a_graph_that_is_none_is_named(package: Package) -> None:
    package.onnx.write_bytes(b"no graph")
    with pytest.raises(CorruptArtifactError) as caught:
        Predictor(Package.open(package.folder, verify=False))
    assert caught.value.where == str(package.onnx)


def test_a_graph_that_does_not_fit_its_signature_is_named(package: Package) -> None:
    path = package.folder / "signature.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "input_name": "pictures"}))
    with pytest.raises(CorruptArtifactError, match="does not fit its signature"):
        Predictor(Package.open(package.folder, verify=False))


def test_a_changed_byte_is_found_when_a_package_is_opened(package: Package) -> None:
    content = bytearray(package.onnx.read_bytes())
    content[-1] ^= 1
    package.onnx.write_bytes(bytes(content))
    with pytest.raises(CorruptArtifactError) as caught:
        Package.open(package.folder)
    assert caught.value.where == str(package.onnx)
