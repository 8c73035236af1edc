"""Trained weights to ONNX graphs for serving, proved against the network on real examples of unequal lengths.

The older exporter on purpose: it takes under a second and needs no more libraries; the newer one several.
Legend: N batch, T length.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from components.core.errors import TrainingError
from components.identity.package import Signature
from components.preprocessing.stored import StoredSplit
from components.training.batches import Batch, on_device
from components.training.graphs.graph import LENGTH, Graph, compute

TOLERANCE = 1e-5  # of a probability
RELATIVE_TOLERANCE = 1e-4  # of other outputs, to the largest of them
EXAMPLES = 8
SURE = 0.01  # the score from which on a box counts


def export(made: list[Graph], split: StoredSplit, folder: Path, classes: list[str]) -> Signature:
    """Write each graph as `<name>.onnx`, with free batch and length, and compare it with the network.

    Args:
        made: of a network on the CPU with its final weights.
        split: real samples to prove it on.

    Raises:
        TrainingError: a graph does not say what the network says, or an answer depends on padding.
    """
    index = examples(split)
    batch = on_device(split.batch(index), torch.device("cpu"))
    singles = [on_device(split.batch(index[row : row + 1]), torch.device("cpu")) for row in range(len(index))]
    specs = {}
    for graph in made:
        target = folder / f"{graph.name}.onnx"
        _write(graph, graph.feed(singles[-1]), target)
        check_parity(graph, batch, singles, target)
        taken = [node.name for node in _session(target).get_inputs()]  # an input that changes nothing is left out
        spec = graph.spec(compute(graph, graph.feed(batch)))
        specs[graph.name] = spec.model_copy(update={"inputs": [one for one in spec.inputs if one.name in taken]})
    return Signature(graphs=specs, classes=classes)


def examples(split: StoredSplit) -> NDArray[np.int64]:
    """A few samples, from the shortest to the longest where they differ in length."""
    ragged = [spec.name for spec in split.specs if spec.layout == "ragged"]
    order = np.argsort(split.lengths(ragged[0]), kind="stable") if ragged else np.arange(len(split))
    places = np.unique(np.linspace(0, len(order) - 1, EXAMPLES).round().astype(np.int64))
    return order[places]


def check_parity(graph: Graph, batch: Batch, singles: Sequence[Batch], target: Path) -> None:
    """Compare what network and graph say of each sample alone and in a padded batch.

    Raises:
        TrainingError: they differ by more than numbers do.
    """
    session = _session(target)
    taken = [node.name for node in session.get_inputs()]

    def from_graph(inputs: tuple[Tensor, ...]) -> list[NDArray[Any]]:
        named = {spec.name: value.numpy() for spec, value in zip(graph.inputs, inputs, strict=True)}
        found: list[NDArray[Any]] = session.run(list(graph.outputs), {name: named[name] for name in taken})
        return found

    def from_network(inputs: tuple[Tensor, ...]) -> list[NDArray[Any]]:
        return [value.numpy() for value in compute(graph, inputs)]

    expected = from_network(graph.feed(batch))
    adapt = graph.single
    own_batches = singles if adapt is None else [adapt(batch, row, single) for row, single in enumerate(singles)]
    fed = [graph.feed(single) for single in own_batches]
    alone = [from_network(inputs) for inputs in fed]
    _compare(graph, expected, alone, "the answers depend on padding, or on what else is in the batch")
    trouble = "the exported graph does not say what the network says"
    _compare(graph, expected, [from_graph(inputs) for inputs in fed], trouble)
    together = from_graph(graph.feed(batch))
    rows = [
        [
            value[row : row + 1, : one.shape[1]] if one.ndim > 1 else value[row : row + 1]
            for value, one in zip(together, own, strict=True)
        ]
        for row, own in enumerate(alone)
    ]
    _compare(graph, expected, rows, trouble)


def _session(target: Path) -> Any:
    from components.inference.runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(target.read_bytes(), options, providers=["CPUExecutionProvider"])


def _compare(graph: Graph, expected: list[NDArray[Any]], found: list[list[NDArray[Any]]], trouble: str) -> None:
    """Each sample's outputs (1, ...), without padding, with its row of the batch's (N, ...)."""
    for row, outputs in enumerate(found):
        if graph.unordered:
            own, batched = (
                np.concatenate([value[at] for value in part], axis=1) for part, at in ((outputs, 0), (expected, row))
            )
            _judge(
                graph, ", ".join(graph.outputs), _apart(own, batched), float(np.abs(batched).max(initial=0.0)), trouble
            )
            continue
        for name, whole, values in zip(graph.outputs, expected, outputs, strict=True):
            own, batched = values[0], whole[row]
            if graph.outputs[name][1:2] == [LENGTH]:
                batched = batched[: len(own)]  # beyond its length a sample says nothing
            difference = float(np.abs(own - batched).max(initial=0.0))
            _judge(graph, name, difference, float(np.abs(batched).max(initial=0.0)), trouble)


def _judge(graph: Graph, name: str, difference: float, largest: float, trouble: str) -> None:
    allowed = TOLERANCE if graph.exact else RELATIVE_TOLERANCE * max(1.0, largest)
    if not difference <= allowed:
        raise TrainingError(
            trouble,
            where=f"{graph.name}.onnx, {name}",
            got=f"largest difference {difference:.2e}",
            expected=f"at most {allowed:.0e}",
            next_step="train with precision: fp32; if it stays, the architecture does not export",
        )


def _apart(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest distance from a box with its scores (A, 4 + K) to the nearest of the other side, both ways.

    Boxes that are sure of nothing do not count, nor do those that another as sure may have pushed out.
    """
    distances = np.abs(ours[:, None] - theirs[None]).max(axis=2)  # (A, A)
    apart = 0.0
    for side, nearest in ((ours, distances.min(axis=1)), (theirs, distances.min(axis=0))):
        sure = side[:, 4:].max(axis=1)  # (A,)
        counts = (sure > SURE) & (sure > sure.min() + RELATIVE_TOLERANCE)
        apart = max(apart, float(nearest[counts].max(initial=0.0)))
    return apart


def _write(graph: Graph, inputs: tuple[Tensor, ...], target: Path) -> None:
    free = {
        spec.name: {axis: size for axis, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in graph.inputs
    }
    free |= {
        name: {axis: size for axis, size in enumerate(shape) if size is not None}
        for name, shape in graph.outputs.items()
    }
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a kernel of torch's own, which no graph has
    try:
        with warnings.catch_warnings(), _quiet():
            # The choice is explained above, and onnxruntime proves what comes out: no warning knows more than that.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph.module.eval(),
                inputs,
                str(target),
                dynamo=False,
                input_names=[spec.name for spec in graph.inputs],
                output_names=list(graph.outputs),
                dynamic_axes=free,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter's C++ says on stderr goes past Python's warnings; it is left out for the same reason."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
