"""Answers requests with a package's graphs and its task's preprocessing and postprocessing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components import tasks
from components.contracts.serving_spec import Device
from components.core.errors import CorruptArtifactError, InferenceError, NotFiniteError, SampleError
from components.core.strict import Strict
from components.identity.package import GraphSpec, Package, TensorSpec
from components.inference.runtime import CUDA, session
from components.tasks.task import Prediction

Arrays = dict[str, NDArray[Any]]

_TYPES = {"uint8": "uint8", "int64": "int64", "float32": "float", "bool": "bool"}  # numpy's names -> onnxruntime's


class Predictor:
    """A loaded package. Safe to call from several threads.

    Args:
        package: an opened package; its files are not verified again.
        threads: threads of one call; 1 is best for small graphs under load.
        max_pixels: larger images are refused before they are decoded.
        device, gpu_memory_mb: as of `runtime.session`.

    Raises:
        NotFoundError: the package's task is not installed.
        CorruptArtifactError: the processor cannot be read, or a graph does not load or does not fit the signature.
        ServingError: the device is not there.
    """

    def __init__(
        self,
        package: Package,
        *,
        threads: int = 1,
        max_pixels: int = 25_000_000,
        device: Device = "cpu",
        gpu_memory_mb: int | None = None,
    ) -> None:
        self.package = package
        self.signature = package.signature()
        self.max_pixels = max_pixels
        self.task = tasks.find(package.facts.task)
        self.processor = self.task.load(package.folder)
        self.endpoint = self.processor.endpoint(self.signature.classes)
        self._graphs = {
            name: _Graph(
                package.graph(name),
                spec,
                session(package.graph(name), threads=threads, device=device, gpu_memory_mb=gpu_memory_mb),
            )
            for name, spec in self.signature.graphs.items()
        }
        # What the graphs really run on.
        self.device = "cuda" if any(graph.is_on_gpu for graph in self._graphs.values()) else "cpu"

    def read(self, items: Sequence[Any]) -> list[Arrays]:
        """Convert the items of a request to arrays.

        Raises:
            SampleError: the task refuses an item; `where` has its position.
        """
        samples = []
        for position, item in enumerate(items):
            try:
                samples.append(self.processor.read(item, max_pixels=self.max_pixels))
            except SampleError as error:
                where = f"{self.endpoint.item} {position}"
                facts = {"got": error.got, "expected": error.expected, "next_step": error.next_step}
                raise SampleError(error.what, code=error.code, where=where, **facts) from error
        return samples

    def run(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """A graph's outputs by name; arrays of the feed that are no inputs of the graph are ignored.

        Raises:
            InferenceError: the graph failed, or the package has no graph of this name.
            NotFiniteError: NaN or infinity among the outputs.
        """
        outputs = self.outputs(graph, feed)
        for name, values in outputs.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                wrong = ~np.isfinite(values)
                first = int(np.argmax(wrong.reshape(len(values), -1).any(axis=1))) if values.ndim else 0
                raise NotFiniteError(
                    "the model's answer is not finite",
                    where=f"{self.endpoint.item} {first}",
                    got=f"{values[wrong][0]} in {name}",
                )
        return outputs

    def outputs(self, graph: str, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        """As `run`, but without the check for NaN and infinity.

        Raises:
            InferenceError: the graph failed, or the package has no graph of this name.
        """
        if graph not in self._graphs:
            raise InferenceError("the package has no such graph", got=graph, expected=", ".join(self._graphs))
        return self._graphs[graph].run(feed)

    def answer(self, samples: Sequence[Arrays], parameters: Strict | None = None) -> list[Prediction]:
        """One prediction for each sample, in order.

        Raises:
            InferenceError: a graph failed.
            NotFiniteError: NaN or infinity among the graph's outputs.
        """
        if not samples:
            return []
        return self.processor.answer(self.run, samples, self.signature.classes, parameters)

    def predict(self, items: Sequence[Any], parameters: Strict | None = None) -> list[Prediction]:
        """`read`, then `answer`."""
        return self.answer(self.read(items), parameters)


class _Graph:
    """A loaded graph whose inputs and outputs fit the signature."""

    def __init__(self, path: Path, spec: GraphSpec, loaded: Any) -> None:
        self._path, self._session = path, loaded
        self.is_on_gpu = CUDA in loaded.get_providers()
        nodes = [*self._session.get_inputs(), *self._session.get_outputs()]
        tensors = [*spec.inputs, *spec.outputs]
        if len(spec.inputs) != len(self._session.get_inputs()) or not _fit(tensors, nodes):
            raise CorruptArtifactError(
                "the graph does not fit its signature",
                where=str(path),
                got=[(node.name, node.type, node.shape) for node in nodes],
                expected=[(tensor.name, tensor.type, tensor.shape) for tensor in tensors],
            )
        self._inputs = [tensor.name for tensor in spec.inputs]
        self._outputs = [tensor.name for tensor in spec.outputs]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> Arrays:
        try:
            inputs = {name: feed[name] for name in self._inputs}
            return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))
        except Exception as error:  # as above: no common base
            raise InferenceError("the graph failed", where=str(self._path), got=repr(error)) from error


def _fit(tensors: Sequence[TensorSpec], nodes: Sequence[Any]) -> bool:
    """Whether names and types are equal, in order, and every size that is fixed in both."""
    return len(tensors) == len(nodes) and all(
        tensor.name == node.name
        and node.type == f"tensor({_TYPES[tensor.type]})"
        and len(tensor.shape) == len(node.shape)
        and all(
            one == other
            for one, other in zip(tensor.shape, node.shape, strict=True)
            if isinstance(one, int) and isinstance(other, int)
        )
        for tensor, node in zip(tensors, nodes, strict=True)
    )
