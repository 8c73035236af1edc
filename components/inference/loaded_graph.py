"""A graph of a package in onnxruntime.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.errors import CorruptArtifactError, InferenceError
from components.identity.package import BATCH, GraphSpec, TensorSpec
from components.inference.runtime import onnxruntime

Arrays = dict[str, NDArray[Any]]

_TYPES = {"uint8": "uint8", "int64": "int64", "float32": "float", "bool": "bool"}  # numpy's names -> onnxruntime's


class DecodingState:
    """The state of a graph after the tokens so far, as onnxruntime's own tensors: no run copies it into numpy."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values  # OrtValue by the name of the input

    def select(self, rows: NDArray[np.int64]) -> DecodingState:
        """The state of these rows (N,), in this order; a row may be repeated."""
        ortvalue = onnxruntime.OrtValue.ortvalue_from_numpy
        return DecodingState({name: ortvalue(value.numpy().take(rows, axis=0)) for name, value in self.values.items()})


class LoadedGraph:
    """A loaded graph whose inputs and outputs fit the signature. Safe to call from several threads.

    Raises:
        CorruptArtifactError: the graph does not load or does not fit.
    """

    def __init__(self, path: Path, spec: GraphSpec, threads: int) -> None:
        self._path = path
        self._spec = spec
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        if spec.state:  # a plan of memory would be kept for each length of a text
            options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises a dozen classes of its own, without a common base
            raise CorruptArtifactError("the graph does not load", where=str(path), got=error) from error
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
        self._answers = spec.answers
        self._outputs = [*self._answers, *spec.state.values()]
        self._zeros = {
            tensor.name: (spec.zeros(tensor.name), np.dtype(tensor.type))
            for tensor in spec.inputs
            if tensor.name in spec.optional
        }

    def run(self, feed: Mapping[str, NDArray[Any]], names: Sequence[str] | None = None) -> Arrays:
        """The answers for a feed, or the outputs of these names.

        Raises:
            InferenceError: onnxruntime failed, or the feed lacks an input.
        """
        try:
            wanted = self._answers if names is None else list(names)
            return dict(zip(wanted, self._session.run(wanted, self._complete(feed, ())), strict=True))
        except Exception as error:  # as above: no common base
            raise InferenceError("the graph failed", where=str(self._path), got=repr(error)) from error

    def advance(self, feed: Mapping[str, NDArray[Any]], state: DecodingState | None) -> tuple[Arrays, DecodingState]:
        """The answers for a feed after a state, and the next state; arguments as of `StatefulRunner.advance`.

        Raises:
            InferenceError: as `run`.
        """
        before = {} if state is None else state.values
        ortvalue = onnxruntime.OrtValue.ortvalue_from_numpy
        try:
            own = {name: ortvalue(value) for name, value in self._complete(feed, before).items()}
            values = self._session.run_with_ort_values(self._outputs, {**own, **before})
            answers = {name: value.numpy() for name, value in zip(self._answers, values, strict=False)}
            return answers, DecodingState(dict(zip(self._spec.state, values[len(self._answers) :], strict=True)))
        except Exception as error:  # as above: no common base
            raise InferenceError("the graph failed", where=str(self._path), got=repr(error)) from error

    def _complete(self, feed: Mapping[str, NDArray[Any]], state: Mapping[str, Any] | tuple[()]) -> Arrays:
        """All inputs but those of a state: from the feed, and zeros for optional ones that it lacks."""
        found: Arrays = {}
        for name in self._inputs:
            if name in state:
                continue
            if name in feed or name not in self._zeros:
                found[name] = np.ascontiguousarray(feed[name])
                continue
            shape, kind = self._zeros[name]
            rows = len(feed[self._inputs[0]])
            found[name] = np.zeros([rows if size == BATCH else size for size in shape], kind)  # type: ignore[misc]
        return found


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
