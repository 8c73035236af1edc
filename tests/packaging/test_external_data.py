"""Graphs whose weights lie beside them, as of networks beyond 2 GB: here of any size, by a lower limit."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from components.contracts.pipeline import ServingOptions
from components.core.errors import CorruptArtifactError
from components.evaluation import stage as evaluation
from components.identity import manifest
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.inference.runtime import session
from components.packaging import bundle_inputs, requirements
from components.packaging.bundle import Bundle
from components.packaging.bundle_request import BundleRequest
from components.packaging.model_export import export
from components.training import graph_file
from components.training import stage as training
from components.training.sinks import EventStream
from flows.pipelines.fingerprints import Fingerprint
from flows.platform.environment import QUIET
from tests.packaging.small_bundle import ROOT, command, hashes
from tests.training.prepared_digits import prepare, request

pytestmark = pytest.mark.slow


def train(folder: Path, name: str) -> Package:
    asked = request(folder / "prepared", folder / name, epochs=1)
    training.train(asked, EventStream(io.StringIO()))
    (folder / f"{name}.json").write_text(asked.model_dump_json())
    evaluation.main([str(folder / f"{name}.json")])
    return Package.open(Path(asked.package))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Package, Package]:
    """The package of a training with its graph in one file, and in two."""
    folder, before = tmp_path_factory.mktemp("external"), torch.get_num_threads()
    prepare(folder / "prepared")
    one = train(folder, "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_file, "LIMIT", 1000)
        two = train(folder, "two")
    torch.set_num_threads(before)
    return one, two


def test_a_graph_in_two_files_answers_as_in_one(packages: tuple[Package, Package]) -> None:
    one, two = packages
    assert [path.name for path in one.graph_files()] == ["model.onnx"]
    assert [path.name for path in two.graph_files()] == ["model.onnx", "model.onnx.data"]
    outside = [
        tensor for tensor in onnx.load(two.graph(), load_external_data=False).graph.initializer if tensor.external_data
    ]
    assert outside
    assert {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"} == {
        "model.onnx.data"
    }
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1)).astype(np.uint8)
    answers = [Predictor(package).answer([{"images": image} for image in images]) for package in packages]
    assert answers[0] == answers[1]
    assert one.metrics()["overall"] == two.metrics()["overall"]
    assert one.digest != two.digest


def test_every_byte_of_both_files_is_sealed(packages: tuple[Package, Package], tmp_path: Path) -> None:
    two = packages[1]
    assert {"model.onnx", "model.onnx.data"} <= two.manifest.files.keys()
    names = export(two, "onnx", tmp_path / "exported")
    assert {"model.onnx", "model.onnx.data"} <= set(names)
    onnx.checker.check_model(str(tmp_path / "exported" / "model.onnx"))
    _flip(two.folder / "model.onnx.data")
    try:
        with pytest.raises(CorruptArtifactError, match=r"model\.onnx\.data"):
            Package.open(two.folder)
    finally:
        _flip(two.folder / "model.onnx.data")
    assert Package.open(two.folder).digest == two.digest


def test_a_bundle_carries_both_and_is_refused_if_the_weights_are_changed(
    packages: tuple[Package, Package], tmp_path: Path
) -> None:
    package = packages[1]
    lock, libraries = ROOT / "requirements.lock", ("pillow",)
    pinned = requirements.pinned(lock, libraries)
    code = bundle_inputs.code(ROOT, package.facts.task)
    inputs = bundle_inputs.inputs(package.digest, "4", ServingOptions(), pinned, code, hashes())
    bundle = Bundle(tmp_path / "home", "digits", Fingerprint(inputs).digest)
    document = BundleRequest(
        model="digits", version="4", key=bundle.key, package=str(package.folder), home=str(bundle.home),
        source_root=str(ROOT), requirements=pinned, hashes=hashes(), serving=ServingOptions(),
    )  # fmt: skip
    (tmp_path / "request.json").write_text(document.model_dump_json())
    subprocess.run(command(tmp_path), cwd=ROOT, env={**os.environ, **QUIET}, check=True)
    assert bundle.verify().facts["package_digest"] == package.digest
    carried = bundle.source / "package"
    assert manifest.verify(carried, "package").digest == package.digest
    answer = Predictor(Package.open(carried)).answer([{"images": np.zeros((8, 8, 1), np.uint8)}])
    assert answer == Predictor(package).answer([{"images": np.zeros((8, 8, 1), np.uint8)}])
    _flip(carried / "model.onnx.data")
    with pytest.raises(CorruptArtifactError, match=r"model\.onnx\.data"):
        bundle.verify()


def test_the_file_of_each_tensor_that_the_exporter_writes_beyond_2_gb_becomes_one(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 32, 32)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [one, f"w{at}"], [two]) for at, (one, two) in enumerate((("x", "h"), ("h", "y")))
    ]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 32]) for name in ("x", "y")]
    weights = [onnx.numpy_helper.from_array(value, f"w{at}") for at, value in enumerate(values)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    exported, target = tmp_path / "exported" / "model.onnx", tmp_path / "model.onnx"
    exported.parent.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(exported), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
    assert len(list(exported.parent.iterdir())) == 3
    graph_file.place(exported, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["exported", "model.onnx", "model.onnx.data"]
    x = np.ones((3, 32), np.float32)
    (found,) = session(target).run(None, {"x": x})
    np.testing.assert_allclose(found, x @ values[0] @ values[1], atol=1e-4)


def _flip(path: Path) -> None:
    """Change one bit in the middle of a file, or change it back."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
