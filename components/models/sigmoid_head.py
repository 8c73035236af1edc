"""Two classes by one logit: the sigmoid of z is the softmax of (0, z), so loss, graphs and answers stay.

Legend: N batch, I features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from components.contracts.shapes import OutputSpec
from components.core.errors import UsageError

CLASSES = 2


class SigmoidHead(nn.Linear):
    """A dense layer of one output z, the logit of the second class; the first class has the logit 0."""

    def __init__(self, in_features: int, *, bias: bool = True) -> None:
        super().__init__(in_features, 1, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, I) to logits (N, 2)."""
        logit = super().forward(features)  # (N, 1)
        return torch.cat([torch.zeros_like(logit), logit], dim=-1)


def use_sigmoid_head(network: nn.Module, output_spec: OutputSpec) -> None:
    """Replace the last dense layer of a network of two classes by a `SigmoidHead` with the initial weights that were
    drawn for the second class.

    Raises:
        UsageError: the output is not of two classes, or the last layer is not found.
    """
    classes = getattr(output_spec, "classes", None)
    if output_spec.kind != "classes" or classes != CLASSES:
        raise UsageError(
            "head: sigmoid is for two classes",
            where="model.head",
            got=output_spec.kind if output_spec.kind != "classes" else f"{classes} classes",
            expected="two classes",
            next_step="leave model.head out: softmax is for any number of classes",
        )
    heads: tuple[str, ...] | None = getattr(network, "head_names", None)
    dense = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and (heads is None or _below(name, tuple(heads)))
    ]
    last = network.get_submodule(dense[-1]) if dense else None
    if not isinstance(last, nn.Linear) or last.out_features != CLASSES:
        raise UsageError(
            "the network does not end in a dense layer of two outputs",
            where="model.head",
            got="sigmoid",
            expected="softmax",
            next_step="leave model.head out",
        )
    head = SigmoidHead(last.in_features, bias=last.bias is not None)
    with torch.no_grad():
        head.weight.copy_(last.weight[1:])
        if last.bias is not None:
            head.bias.copy_(last.bias[1:])
    network.set_submodule(dense[-1], head)


def _below(name: str, heads: tuple[str, ...]) -> bool:
    return any(name == head or name.startswith(f"{head}.") for head in heads)
