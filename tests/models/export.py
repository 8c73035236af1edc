"""An architecture's ONNX graph beside the architecture: what every test of one asks."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence

import onnxruntime
import torch
from torch import Tensor, nn

from components.models import masks

# What the exporter says of every network that loops, packs or asks for a shape; the comparison below is the proof.
HARMLESS = (
    ("You are using the legacy TorchScript", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    ("Converting a tensor to a Python", torch.jit.TracerWarning),
    ("torch.tensor results are registered as constants", torch.jit.TracerWarning),  # of sizes that are fixed
    ("To copy construct from a tensor", UserWarning),
    ("Constant folding - Only steps=1", UserWarning),
    ("Exporting aten::index operator of advanced indexing", UserWarning),  # of transformers' masks
    ("Exporting a model to ONNX with a batch_size other than 1", UserWarning),  # said of every recurrent network
)


class Method(nn.Module):
    """A method of a network as a network."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, *tensors: Tensor) -> Tensor:
        result: Tensor = getattr(self.network, self.name)(*tensors)
        return result


class Graph:
    """The exported graph of a network, made from one example; `axes` names the free axes of each input.

    Args:
        network: in its last state; it is put into evaluation.
        example: inputs by name, in the order of the network's arguments.
        axes: numbers of the free axes of each input.
        free: numbers of the free axes of the output.
    """

    def __init__(
        self,
        network: nn.Module,
        example: Mapping[str, Tensor],
        axes: Mapping[str, Sequence[int]],
        free: Sequence[int] = (0,),
    ) -> None:
        self.network = network.eval()
        self.names = list(example)
        target = io.BytesIO()
        dynamic = {name: {axis: f"{name}_{axis}" for axis in numbers} for name, numbers in axes.items()}
        with warnings.catch_warnings():
            for message, category in HARMLESS:
                warnings.filterwarnings("ignore", message=message, category=category)
            torch.onnx.export(
                network,
                tuple(example.values()),
                target,
                dynamo=False,
                input_names=self.names,
                output_names=["out"],
                dynamic_axes={**dynamic, "out": {axis: f"out_{axis}" for axis in free}},
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(target.getvalue(), options, providers=["CPUExecutionProvider"])

    def agrees(self, *tensors: Tensor, atol: float = 1e-5) -> None:
        """The graph and the network say the same of these inputs."""
        with torch.inference_mode():
            expected = self.network(*tensors)
        feed = {name: tensor.numpy() for name, tensor in zip(self.names, tensors, strict=True)}
        # An input that changes no answer is no input of the graph.
        known = {value.name for value in self.session.get_inputs()}
        (found,) = self.session.run(None, {name: value for name, value in feed.items() if name in known})
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=atol, rtol=1e-5)


def sequences_agree(network: nn.Module, batch: Tensor, free: Sequence[int] = (0,)) -> None:
    """Exported from one short sample, asked with others: (N, T) or (N, T, C) with lengths, padded with zeros."""
    example = {"values": batch[:1, :3], "values_lengths": torch.tensor([3])}
    graph = Graph(network, example, {"values": (0, 1), "values_lengths": (0,)}, free)
    max_length = batch.shape[1]
    for rows, steps in ((1, max_length), (len(batch), max_length), (2, max_length - 1), (1, 1)):
        lengths = torch.tensor([max(1, steps - 2 * row) for row in range(rows)]).flip(0)
        graph.agrees(_padded(batch[:rows, :steps], lengths), lengths)


def padding_changes_nothing(network: nn.Module, batch: Tensor, *, every_place: bool = False) -> None:
    """A padded batch of unequal lengths says what each sample says alone, at every real place; lengths of 1 included.

    Padding is filled with zeros, as batches come; what is there must not matter, so it is filled with more as well.
    """
    network.eval()
    max_length = batch.shape[1]
    lengths = torch.tensor([max_length, 1, *(2 + row % (max_length - 2) for row in range(len(batch) - 2))])
    zeros = _padded(batch, lengths)
    inside = masks.inside(lengths, max_length).reshape(*zeros.shape[:2], *([1] * (batch.ndim - 2)))
    with torch.inference_mode():
        alone = [network(zeros[row : row + 1, :length], torch.tensor([length])) for row, length in enumerate(lengths)]
        for filled in (zeros, torch.where(inside, batch, batch.flip(0))):
            together = network(filled, lengths)
            for row, length in enumerate(lengths):
                found = together[row, :length] if every_place else together[row]
                torch.testing.assert_close(found, alone[row][0], atol=1e-5, rtol=1e-5)


def _padded(batch: Tensor, lengths: Tensor) -> Tensor:
    inside = masks.inside(lengths, batch.shape[1]).reshape(*batch.shape[:2], *([1] * (batch.ndim - 2)))
    return torch.where(inside, batch, torch.zeros_like(batch))
