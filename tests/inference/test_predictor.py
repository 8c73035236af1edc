"""A package, answering: as sealed, the same alone and in a batch, and only if graph and signature fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from components.core.errors import CorruptArtifactError, InferenceError, NotFiniteError, SampleError
from components.identity.package import Package
from components.inference.difference import difference
from components.inference.predictor import Predictor
from tests import small_package


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return small_package.build(tmp_path / "package")


def test_alone_in_a_batch_and_in_another_order(package: Package) -> None:
    predictor = Predictor(package)
    contents = [small_package.image(seed) for seed in range(5)]
    alone = [prediction for content in contents for prediction in predictor.predict([content])]
    assert len({prediction["label"] for prediction in alone}) > 1
    assert difference(predictor.predict(contents), alone) < 1e-6
    assert difference(predictor.predict(contents[::-1])[::-1], alone) < 1e-6
    assert predictor.predict([]) == []


def test_pixels_of_another_shape_are_refused(package: Package) -> None:
    with pytest.raises(SampleError) as caught:
        Predictor(package).read([np.zeros((8, 8, 1), np.uint8), np.zeros((9, 8, 1), np.uint8)])
    assert caught.value.where == "image 1"
    assert "(8, 8, 1)" in str(caught.value.expected)


def test_an_answer_that_is_not_finite_is_none(tmp_path: Path) -> None:
    predictor = Predictor(small_package.build(tmp_path / "package", nan_above=0.8))
    with pytest.raises(NotFiniteError) as caught:
        predictor.predict([small_package.image(0), small_package.white()])
    assert caught.value.where == "image 1"
    feed = {"images": np.full((1, 8, 8, 1), 255, np.uint8), "images_lengths": np.ones(1, np.int64)}
    assert np.isnan(predictor.outputs("model", feed)["probabilities"]).all()  # as it is, for those who count


def test_a_graph_that_is_not_there_and_a_feed_that_does_not_fit(package: Package) -> None:
    predictor = Predictor(package)
    with pytest.raises(InferenceError, match="no such graph"):
        predictor.run("decoder", {})
    with pytest.raises(InferenceError, match="the graph failed"):
        predictor.run("model", {"images": np.zeros((1, 8, 8, 1), np.float32)})
    with pytest.raises(InferenceError, match="the graph failed"):
        predictor.run("model", {})


def test_a_graph_that_is_none_is_named(package: Package) -> None:
    package.graph().write_bytes(b"no graph")
    with pytest.raises(CorruptArtifactError) as caught:
        Predictor(Package.open(package.folder, verify=False))
    assert caught.value.where == str(package.graph())


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": [{"name": "pictures", "type": "uint8", "shape": ["batch", 8, 8, 1]}]},
        {"inputs": [{"name": "images", "type": "float32", "shape": ["batch", 8, 8, 1]}]},
        {"inputs": [{"name": "images", "type": "uint8", "shape": ["batch", 8, 9, 1]}]},
        {"outputs": [{"name": "probabilities", "type": "float32", "shape": ["batch", 4]}]},
        {"outputs": []},
    ],
)
def test_a_graph_that_does_not_fit_its_signature_is_named(wrong: dict[str, object], package: Package) -> None:
    path = package.folder / "signature.json"
    document = json.loads(path.read_text())
    document["graphs"]["model"] |= wrong
    path.write_text(json.dumps(document))
    with pytest.raises(CorruptArtifactError, match="does not fit its signature"):
        Predictor(Package.open(package.folder, verify=False))


def test_a_changed_byte_is_found_when_a_package_is_opened(package: Package) -> None:
    content = bytearray(package.graph().read_bytes())
    content[-1] ^= 1
    package.graph().write_bytes(bytes(content))
    with pytest.raises(CorruptArtifactError) as caught:
        Package.open(package.folder)
    assert caught.value.where == str(package.graph())
