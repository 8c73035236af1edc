"""Build a network from its spec."""

from __future__ import annotations

import importlib

from torch import nn

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.errors import UsageError
from components.models.dropout import use_fast_dropout
from components.models.sigmoid_head import use_sigmoid_head


def build(config: ArchitectureSpec, input_spec: InputSpec, output_spec: OutputSpec) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    Args:
        config: spec of the architecture; its `module` has the function `build`.
        input_spec: what the network takes.
        output_spec: what the network gives.

    Raises:
        UsageError: the architecture does not support the kind or the size of the input or output.
    """
    for verb, kind, supported, kinds in (
        ("takes", input_spec.kind, config.supports_input(input_spec.kind), config.takes),
        ("gives", output_spec.kind, config.supports_output(output_spec.kind), config.gives),
    ):
        if not supported:
            raise UsageError(
                f"this architecture {verb} no {kind}",
                where="model.name",
                got=getattr(config, "name", type(config).__name__),
                expected=f"one that {verb} {kind}; this one {verb} {', '.join(sorted(kinds))}",
                next_step="choose another model for this task; `modelyard schema` lists them",
            )
    network: nn.Module = importlib.import_module(config.module).build(config, input_spec, output_spec)
    if config.head == "sigmoid":
        use_sigmoid_head(network, output_spec)
    if not isinstance(config, CustomSpec):  # a custom network is not changed
        use_fast_dropout(network)
    return network
