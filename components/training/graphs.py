"""What a trained network becomes for serving: its graphs, by what it gives, each with how a batch is fed to it.

    classes, token-classes    model     probabilities
    forecast                  model     values
    next-token                model     logits of the token after each: serving takes the last, evaluation all
    text                      encoder   memory
                              decoder   logits of the token after the last, from memory and the target so far
    boxes                     model     boxes, scores
    noise                     model     noise, from a noisy image, its step and its class

Legend: N batch, T length, S length of a source, D width, K classes, V vocabulary, A boxes before any is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, assert_never, cast

import torch
from torch import Tensor, nn

from components.contracts.array_spec import ArraySpec, lengths
from components.contracts.shapes import (
    BoxesOutput,
    ClassesOutput,
    ForecastOutput,
    NextTokenOutput,
    NoiseInput,
    NoiseOutput,
    TextOutput,
    TokenClassesOutput,
)
from components.identity.package import GraphSpec, TensorSpec
from components.tasks.task import Processor
from components.training.batches import Batch

BATCH, LENGTH, TARGET_LENGTH = "batch", "length", "target_length"


class Graph(NamedTuple):
    """One graph.

    Args:
        module: inputs, in order, to one tensor or a tuple of them.
        inputs: names, types and shapes; one that changes nothing is left out when it is exported.
        outputs: names and shapes as far as they are known before an example has run; all are float32.
        feed: a batch of the validation split to the module's inputs.
        exact: the outputs are probabilities, of which the tolerance is known.
        unordered: the rows of a sample's outputs belong together and are in no certain order, as equally sure boxes.
    """

    name: str
    module: nn.Module
    inputs: list[TensorSpec]
    outputs: dict[str, list[str | None]]
    feed: Callable[[Batch], tuple[Tensor, ...]]
    exact: bool = False
    unordered: bool = False

    def spec(self, outputs: tuple[Tensor, ...]) -> GraphSpec:
        """The signature, once an example has shown the sizes of the outputs."""
        found = [
            TensorSpec(
                name=name,
                type="float32",
                shape=[known or size for known, size in zip(_filled(shape, value.ndim), value.shape, strict=True)],
            )
            for (name, shape), value in zip(self.outputs.items(), outputs, strict=True)
        ]
        return GraphSpec(inputs=self.inputs, outputs=found)


def graphs(network: nn.Module, processor: Processor) -> list[Graph]:
    """The graphs of a network; the default is one, named `model`, with the processor's inputs."""
    output_spec = processor.output_spec()
    if isinstance(output_spec, TextOutput):
        return _translation(network)
    if isinstance(output_spec, NoiseOutput):
        return [_noise(network, cast(NoiseInput, processor.input_spec()), cast(Any, processor).noise_steps)]
    names = processor.inputs()
    inputs = _inputs(processor.arrays(), names)

    def feed(batch: Batch) -> tuple[Tensor, ...]:
        return tuple(batch[name] for name in names)

    match output_spec:
        case ClassesOutput():
            return [Graph("model", _Probabilities(network), inputs, {"probabilities": [BATCH]}, feed, exact=True)]
        case TokenClassesOutput():
            shape: list[str | None] = [BATCH, LENGTH]
            return [Graph("model", _Probabilities(network), inputs, {"probabilities": shape}, feed, exact=True)]
        case ForecastOutput():
            return [Graph("model", network, inputs, {"values": [BATCH]}, feed)]
        case NextTokenOutput():
            return [Graph("model", network, inputs, {"logits": [BATCH, LENGTH]}, feed)]
        case BoxesOutput():
            boxes: dict[str, list[str | None]] = {"boxes": [BATCH], "scores": [BATCH]}
            return [Graph("model", _Boxes(network), inputs, boxes, feed, unordered=True)]
        case _:
            assert_never(output_spec)


def runner(made: list[Graph]) -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """The network itself in the place of its graphs: a graph's name and its feed to its outputs, arrays all of them."""
    by_name = {graph.name: graph for graph in made}

    def run(name: str, feed: Mapping[str, Any]) -> dict[str, Any]:
        graph = by_name[name]
        inputs = tuple(torch.tensor(feed[spec.name]) for spec in graph.inputs)
        return {key: value.numpy() for key, value in zip(graph.outputs, compute(graph, inputs), strict=True)}

    return run


def compute(graph: Graph, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the network says."""
    graph.module.eval()
    with torch.inference_mode():
        outputs = graph.module(*inputs)
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _inputs(arrays: tuple[ArraySpec, ...], names: tuple[str, ...]) -> list[TensorSpec]:
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


def _translation(network: nn.Module) -> list[Graph]:
    source = [
        TensorSpec(name="source", type="int64", shape=[BATCH, LENGTH]),
        TensorSpec(name="source_lengths", type="int64", shape=[BATCH]),
    ]
    encoder = _Method(network, "encode")

    def feed_encoder(batch: Batch) -> tuple[Tensor, ...]:
        return batch["source"], batch["source_lengths"]

    def feed_decoder(batch: Batch) -> tuple[Tensor, ...]:
        with torch.no_grad():
            memory = encoder.eval()(batch["source"], batch["source_lengths"])  # (N, S, D)
        # All targets of a batch are equally long while it is decoded; a step after `begin` and a word or two.
        return memory, batch["source_lengths"], batch["target"][:, : min(3, batch["target"].shape[1])]

    example = torch.ones(1, 2, dtype=torch.int64), torch.full((1,), 2)
    with torch.inference_mode():
        width = encoder.eval()(*example).shape[-1]
    target: list[TensorSpec] = [
        TensorSpec(name="memory", type="float32", shape=[BATCH, LENGTH, width]),
        source[1],
        TensorSpec(name="target", type="int64", shape=[BATCH, TARGET_LENGTH]),
    ]
    return [
        Graph("encoder", encoder, source, {"memory": [BATCH, LENGTH]}, feed_encoder),
        Graph("decoder", _Method(network, "decode"), target, {"logits": [BATCH]}, feed_decoder),
    ]


def _noise(network: nn.Module, input_spec: NoiseInput, steps: int) -> Graph:
    inputs = [
        TensorSpec(
            name="noisy", type="float32", shape=[BATCH, input_spec.channels, input_spec.height, input_spec.width]
        ),
        TensorSpec(name="step", type="int64", shape=[BATCH]),
        TensorSpec(name="label", type="int64", shape=[BATCH]),
    ]

    def feed(batch: Batch) -> tuple[Tensor, ...]:
        """The images stand for noisy ones; steps that depend on the image alone, from the first to the last."""
        noisy = batch["images"].permute(0, 3, 1, 2).float() / 127.5 - 1  # (N, C, H, W)
        step = batch["images"].long().sum(dim=(1, 2, 3)) % steps  # (N,)
        return noisy, step, batch["labels"]

    return Graph("model", network, inputs, {"noise": [BATCH]}, feed)


class _Probabilities(nn.Module):
    """A network with its softmax: to (N, K) or (N, T, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(*inputs)
        return logits.softmax(dim=-1)


class _Boxes(nn.Module):
    """A detector with its decoding: boxes (N, A, 4), scores (N, A, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        boxes, scores = self.network.decode(self.network(images))  # type: ignore[operator]  # a detector has it
        return boxes, scores


class _Method(nn.Module):
    """A method of a network, as a module of its own."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self._name = name

    def forward(self, *inputs: Tensor) -> Tensor:
        result: Tensor = getattr(self.network, self._name)(*inputs)
        return result
