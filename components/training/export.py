"""Export of a trained network to ONNX graphs, which are compared with the network on real examples of unequal lengths.

The TorchScript exporter is used: it takes under a second and no further libraries; the newer exporter takes several
seconds and two libraries. Legend: N batch, T length.
"""

from __future__ import annotations

import os
import sys
import tempfile
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
from components.training import graph_file
from components.training.batches import Batch, on_device
from components.training.graphs.graph import LENGTH, Graph, compute

TOLERANCE = 1e-5  # absolute, of a probability
RELATIVE_TOLERANCE = 1e-4  # of other outputs, relative to the largest value
EXAMPLES = 8
CONFIDENT = 0.01  # smallest score of a box that is compared


def export(graphs: list[Graph], split: StoredSplit, folder: Path, classes: list[str]) -> Signature:
    """Write each graph as `<name>.onnx`, with dynamic batch and length, and compare it with the network.

    Args:
        graphs: graphs of a network on the CPU with its final weights.
        split: real samples for the comparison.

    Raises:
        TrainingError: a graph differs from the network, or an answer depends on padding.
    """
    index = examples(split)
    batch = on_device(split.batch(index), torch.device("cpu"))
    singles = [on_device(split.batch(index[row : row + 1]), torch.device("cpu")) for row in range(len(index))]
    specs = {}
    for graph in graphs:
        target = folder / f"{graph.name}.onnx"
        _write(graph, _example(graph, singles[-1]), target)
        check_parity(graph, batch, singles, target)
        check_state(graph, batch, target)
        used = [node.name for node in _session(target).get_inputs()]  # without inputs that change nothing
        spec = graph.spec(compute(graph, graph.named(graph.feed(batch))))
        specs[graph.name] = spec.model_copy(update={"inputs": [one for one in spec.inputs if one.name in used]})
    return Signature(graphs=specs, classes=classes)


def examples(split: StoredSplit) -> NDArray[np.int64]:
    """Indices of a few samples, from the shortest to the longest if their lengths differ."""
    ragged = [spec.name for spec in split.specs if spec.layout == "ragged"]
    order = np.argsort(split.lengths(ragged[0]), kind="stable") if ragged else np.arange(len(split))
    places = np.unique(np.linspace(0, len(order) - 1, EXAMPLES).round().astype(np.int64))
    return order[places]


def check_parity(graph: Graph, batch: Batch, singles: Sequence[Batch], target: Path) -> None:
    """Compare the outputs of network and graph for each sample alone and in a padded batch.

    Raises:
        TrainingError: they differ by more than the tolerance.
    """
    session = _session(target)
    used = [node.name for node in session.get_inputs()]

    reference, compared = _reference(graph), _compared(graph)

    def from_graph(inputs: tuple[Tensor, ...]) -> list[NDArray[Any]]:
        named = graph.complete(graph.named(inputs))
        outputs: list[NDArray[Any]] = session.run(compared, {name: named[name].numpy() for name in used})
        return outputs

    def from_network(inputs: tuple[Tensor, ...]) -> list[NDArray[Any]]:
        outputs = compute(graph, graph.named(inputs)) if graph.on_request or graph is reference else {}
        outputs |= compute(reference, graph.named(inputs)) if graph is not reference else {}
        return [outputs[name].numpy() for name in compared]

    expected = from_network(graph.feed(batch))
    adapt = graph.single
    own_batches = singles if adapt is None else [adapt(batch, row, single) for row, single in enumerate(singles)]
    fed = [graph.feed(single) for single in own_batches]
    alone = [from_network(inputs) for inputs in fed]
    _compare(graph, expected, alone, "the answers depend on padding, or on other samples of the batch")
    trouble = "the outputs of the exported graph differ from the network's"
    _compare(graph, expected, [from_graph(inputs) for inputs in fed], trouble)
    together = from_graph(graph.feed(batch))
    rows = [
        [value[(slice(row, row + 1), *map(slice, one.shape[1:]))] for value, one in zip(together, own, strict=True)]
        for row, own in enumerate(alone)
    ]
    _compare(graph, expected, rows, trouble)


def check_state(graph: Graph, batch: Batch, target: Path) -> None:
    """Compare the answers of a graph that reads texts in parts, with its state, with the network's to whole texts.

    Raises:
        TrainingError: they differ by more than the tolerance.
    """
    if graph.chunks is None:
        return
    session = _session(target)
    used = [node.name for node in session.get_inputs()]
    parts, expected = graph.chunks(batch)
    state: dict[str, Tensor] = {}
    outputs: dict[str, NDArray[Any]] = {}
    for part in parts:
        feed = graph.complete({**part, **state})
        found = session.run(list(graph.outputs), {name: feed[name].numpy() for name in used})
        outputs = dict(zip(graph.outputs, found, strict=True))
        state = {name: torch.from_numpy(outputs[following]) for name, following in graph.state.items()}
    for name, value in expected.items():
        difference = float(np.abs(outputs[name] - value.numpy()).max(initial=0.0))
        trouble = "the answers of the exported graph with its state differ from the network's"
        _check(graph, name, difference, float(value.abs().max()), trouble)


def _compared(graph: Graph) -> list[str]:
    """The outputs that are compared: all but the state, which `check_state` looks at."""
    return [*graph.answers, *graph.on_request]


def _reference(graph: Graph) -> Graph:
    """The graph without a state, if it has the same inputs and answers: the network's own way."""
    plain = graph.plain
    if plain is None or plain.answers != graph.answers:
        return graph
    return plain if {spec.name for spec in plain.inputs} <= {spec.name for spec in graph.inputs} else graph


def _example(graph: Graph, batch: Batch) -> tuple[Tensor, ...]:
    """The inputs for the exporter: of a graph with a state, those of a later run, so that no size is one or zero."""
    if graph.chunks is None:
        return graph.feed(batch)
    first, second = graph.chunks(batch).parts[:2]
    outputs = compute(graph, first)
    state = {name: outputs[following] for name, following in graph.state.items()}
    return tuple(value.clone() for value in graph.complete({**second, **state}).values())  # no inference tensors


def _session(target: Path) -> Any:
    from components.inference.runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])


def _compare(graph: Graph, expected: list[NDArray[Any]], found: list[list[NDArray[Any]]], trouble: str) -> None:
    """Compare the answers of each sample (1, ...), without padding, with its row of the batch's answers (N, ...)."""
    for row, outputs in enumerate(found):
        if graph.unordered:
            own, batched = (
                np.concatenate([value[at] for value in part], axis=1) for part, at in ((outputs, 0), (expected, row))
            )
            names = ", ".join(graph.answers)
            _check(graph, names, _distance(own, batched), float(np.abs(batched).max(initial=0.0)), trouble)
            continue
        for name, whole, values in zip(_compared(graph), expected, outputs, strict=True):
            own, batched = values[0], whole[row]
            free = [size == LENGTH for size in graph.outputs[name][1:]]
            batched = batched[tuple(slice(size if cut else None) for size, cut in zip(own.shape, free, strict=False))]
            difference = float(np.abs(np.subtract(own, batched, dtype=np.float64)).max(initial=0.0))
            _check(graph, name, difference, float(np.abs(batched).max(initial=0.0)), trouble)


def _check(graph: Graph, name: str, difference: float, largest: float, trouble: str) -> None:
    exact = graph.exact and name not in graph.on_request
    allowed = TOLERANCE if exact else RELATIVE_TOLERANCE * max(1.0, largest)
    if not difference <= allowed:
        raise TrainingError(
            trouble,
            where=f"{graph.name}.onnx, {name}",
            got=f"largest difference {difference:.2e}",
            expected=f"at most {allowed:.0e}",
            next_step="train with precision: fp32; if the error remains, the architecture cannot be exported",
        )


def _distance(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest distance from a box with its scores (A, 4 + K) to the nearest box of the other side, both ways.

    Boxes of low scores do not count, nor do boxes near the lowest score, which another of equal score may replace.
    """
    distances = np.abs(ours[:, None] - theirs[None]).max(axis=2)  # (A, A)
    largest = 0.0
    for side, nearest in ((ours, distances.min(axis=1)), (theirs, distances.min(axis=0))):
        confidence = side[:, 4:].max(axis=1)  # (A,)
        counts = (confidence > CONFIDENT) & (confidence > confidence.min() + RELATIVE_TOLERANCE)
        largest = max(largest, float(nearest[counts].max(initial=0.0)))
    return largest


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
    torch.backends.mha.set_fastpath_enabled(False)  # the fast path has no ONNX operator
    try:
        with warnings.catch_warnings(), _quiet(), tempfile.TemporaryDirectory(dir=target.parent) as folder:
            # The choice of the exporter is explained above, and the graph is compared with the network.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph.module.eval(),
                inputs,
                str(Path(folder) / target.name),
                dynamo=False,
                input_names=[spec.name for spec in graph.inputs],
                output_names=list(graph.outputs),
                dynamic_axes=free,
            )
            graph_file.place(Path(folder) / target.name, target)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress messages of the exporter's C++ code on stderr, which are not Python warnings."""
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
