"""What a graph is, and how the graphs of a network are built: by the builder that the output spec names.

Legend: N batch, T length.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from components.contracts.array_spec import ArraySpec, lengths
from components.core.errors import NotFoundError
from components.identity.package import BATCH as BATCH
from components.identity.package import GraphSpec, TensorSpec
from components.tasks.task import Processor
from components.training.batches import Batch

LENGTH, TARGET_LENGTH = "length", "target_length"

Feed = Callable[[Batch], tuple[Tensor, ...]]


class Chunks(NamedTuple):
    """A text in several runs of a graph with a state.

    Args:
        parts: inputs by name of each run, without the state that the run before gave.
        expected: the answers after the last token, of the network itself.
    """

    parts: list[dict[str, Tensor]]
    expected: dict[str, Tensor]


class Graph(NamedTuple):
    """One graph.

    Args:
        module: maps the inputs, in order, to one tensor or a tuple of tensors.
        inputs: names, types and shapes; an input that changes nothing is left out at export.
        outputs: names and shapes, as far as they are known before an example has run.
        feed: maps a batch of the validation split to the inputs of the module.
        exact: whether the outputs are probabilities, which have an absolute tolerance.
        unordered: whether the rows of a sample's outputs have no fixed order, as boxes of equal score.
        single: maps a batch and the batch of one of its samples (by row) to that sample's batch as `feed` needs it;
            None where the sample's batch is used as it is.
        state: inputs, each with the output that is its next value (`GraphSpec.state`).
        optional: names of inputs that are zeros where a feed has none (`GraphSpec.optional`); the last ones of
            `inputs`, and not in what `feed` returns.
        on_request: outputs that are in an answer only if they are asked for (`GraphSpec.on_request`).
        chunks: of a graph with a state, maps a batch to a text in several runs (`Chunks`).
        plain: the same graph with the network's answers alone, which makes the reference answers.
    """

    name: str
    module: nn.Module
    inputs: list[TensorSpec]
    outputs: dict[str, list[str | None]]
    feed: Feed
    exact: bool = False
    unordered: bool = False
    single: Callable[[Batch, int, Batch], Batch] | None = None
    state: Mapping[str, str] = {}
    optional: Sequence[str] = ()
    on_request: Sequence[str] = ()
    chunks: Callable[[Batch], Chunks] | None = None
    plain: Graph | None = None

    @property
    def answers(self) -> list[str]:
        """Names of the outputs that are no state and not on request."""
        return [name for name in self.outputs if name not in {*self.state.values(), *self.on_request}]

    def spec(self, outputs: Mapping[str, Tensor]) -> GraphSpec:
        """The signature, with the sizes and types of the outputs of an example."""
        found = []
        for name, shape in self.outputs.items():
            value = outputs[name]
            sizes = [known or size for known, size in zip(_filled(shape, value.ndim), value.shape, strict=True)]
            kind = str(value.dtype).removeprefix("torch.")
            found.append(TensorSpec.model_validate({"name": name, "type": kind, "shape": sizes}))
        return GraphSpec(
            inputs=self.inputs,
            outputs=found,
            optional=list(self.optional),
            on_request=list(self.on_request),
            state=dict(self.state),
        )

    def named(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """What `feed` returned, by name."""
        return {spec.name: value for spec, value in zip(self.inputs, inputs, strict=False)}

    def complete(self, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All inputs in order: those of a feed, and zeros for the optional ones that it lacks."""
        batch = len(feed[self.inputs[0].name])
        found = {}
        for spec in self.inputs:
            sizes = [size if isinstance(size, int) else batch if size == BATCH else 0 for size in spec.shape]
            value = feed.get(spec.name)
            found[spec.name] = torch.zeros(sizes, dtype=getattr(torch, spec.type)) if value is None else value
        return found


GraphBuilder = Callable[[nn.Module, Processor], list[Graph]]


def build_graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """The graphs of a network, made by the builder that the processor's output spec names.

    Raises:
        NotFoundError: the builder cannot be imported.
    """
    name = processor.output_spec().graph_builder
    module, _, attribute = name.partition(":")
    try:
        builder: GraphBuilder = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise NotFoundError("the graph builder cannot be imported", where=name, got=error) from error
    return builder(network, processor)


def runner(graphs: Sequence[Graph]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """A function that runs a graph of the network by its name: arrays to arrays, as a package's graphs do.

    The graphs are those without a state, so that answers with one are compared with answers without.
    """
    by_name = {graph.name: graph.plain or graph for graph in graphs}

    def run(name: str, feed: Mapping[str, Any]) -> dict[str, Any]:
        graph = by_name[name]
        inputs = {spec.name: torch.tensor(feed[spec.name]) for spec in graph.inputs if spec.name in feed}
        outputs = compute(graph, inputs)
        return {key: outputs[key].numpy() for key in graph.answers}

    return run


def compute(graph: Graph, feed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The outputs of the network itself, by name, for inputs by name."""
    graph.module.eval()
    with torch.inference_mode():
        outputs = graph.module(*graph.complete(feed).values())
    return dict(zip(graph.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))


def model_graph(
    module: nn.Module,
    processor: Processor,
    outputs: dict[str, list[str | None]],
    *,
    exact: bool = False,
    unordered: bool = False,
) -> Graph:
    """The one graph `model` of most outputs, with the processor's inputs; arguments as of `Graph`."""
    names = processor.inputs()

    def feed(batch: Batch) -> tuple[Tensor, ...]:
        return tuple(batch[name] for name in names)

    inputs = tensor_specs(processor.arrays(), names)
    return Graph("model", module, inputs, outputs, feed, exact=exact, unordered=unordered)


def tensor_specs(arrays: Sequence[ArraySpec], names: Sequence[str]) -> list[TensorSpec]:
    """The graph's inputs for arrays of a batch, by their names (lengths included)."""
    by_name = {spec.name: spec for spec in arrays}
    ragged = {lengths(spec.name) for spec in arrays if spec.layout == "ragged"}
    found: list[TensorSpec] = []
    for name in names:
        if name in ragged:
            found.append(TensorSpec(name=name, type="int64", shape=[BATCH]))
            continue
        spec = by_name[name]
        first: list[int | str] = [BATCH]
        if spec.layout == "ragged":
            first.append(LENGTH)
        elif spec.layout == "window":
            first.append(spec.stop - spec.start)
        kind = "int64" if spec.type == "int32" else spec.type
        found.append(TensorSpec(name=name, type=kind, shape=[*first, *spec.shape]))
    return found


def _filled(shape: list[str | None], ndim: int) -> list[str | None]:
    return [*shape, *[None] * (ndim - len(shape))]
