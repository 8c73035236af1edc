"""A task from outside that also offers embeddings: the echo, with the sum of a text's characters and its length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from components.identity import manifest
from components.identity.package import GraphSpec, Package, Signature, TensorSpec
from components.preprocessing.batch import collate
from components.tasks.task import EMBEDDING
from tests import echo_task

if TYPE_CHECKING:
    from components.tasks.task import Arrays, RunOutputs

SHAPES: dict[str, list[int | str]] = {"characters": ["batch", "length"], "characters_lengths": ["batch"]}
NAME = "tests.embedding_task:TASK"


class EmbeddingProcessor(echo_task.Processor):
    """The echo's, with embeddings (N, 2)."""

    def embed(self, run: RunOutputs, samples: Sequence[Arrays]) -> NDArray[np.float32]:
        return run("model", collate(self.arrays(), samples), [EMBEDDING])[EMBEDDING]


class EmbeddingEcho(echo_task.Echo):
    """The half without state."""

    name: ClassVar[str] = NAME

    def load(self, folder: Path) -> EmbeddingProcessor:
        return EmbeddingProcessor.load(folder)


TASK = EmbeddingEcho()


def bundle(folder: Path) -> None:
    """A bundle of this task, as the service reads it."""
    package = echo_task.build(folder / "package")
    tensors = {name: helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in SHAPES.items()}
    nodes = [
        helper.make_node("ReduceSum", ["characters", "time"], ["sum"], keepdims=1),
        helper.make_node("Unsqueeze", ["characters_lengths", "time"], ["lengths"]),
        helper.make_node("Concat", ["sum", "lengths"], ["both"], axis=1),
        helper.make_node("Cast", ["both"], [EMBEDDING], to=TensorProto.FLOAT),
    ]
    gives = helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch", 2])
    times = helper.make_tensor("time", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "model", list(tensors.values()), [gives], [times])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (package.folder / "model.onnx").write_bytes(model.SerializeToString())
    takes = [TensorSpec(name=name, type="int64", shape=shape) for name, shape in SHAPES.items()]
    spec = GraphSpec(
        inputs=takes, outputs=[TensorSpec(name=EMBEDDING, type="float32", shape=["batch", 2])], on_request=[EMBEDDING]
    )
    graphs = {**package.signature().graphs, "model": spec}
    (package.folder / "signature.json").write_text(Signature(graphs=graphs, classes=[]).model_dump_json())
    facts: dict[str, Any] = {**package.manifest.facts, "task": NAME}
    (package.folder / "manifest.json").unlink()
    manifest.seal(package.folder, "package", facts)
    Package.open(package.folder)
    settings = {"model": "sample", "version": "1", "max_batch_size": 4, "max_request_bytes": 10_000,
                "max_image_pixels": 1, "workers": 1}  # fmt: skip
    manifest.write_json(folder / "serving.json", settings)
    manifest.seal(folder, "bundle", {"code": "c" * 64})
