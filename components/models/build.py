"""Build a network from its spec."""

from __future__ import annotations

import importlib

from torch import nn

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.errors import CorruptArtifactError, UsageError
from components.models.dropout import use_fast_dropout
from components.models.sigmoid_head import use_sigmoid_head

# Of transformers, for sizes in a config.json that do not go together, or are no sizes.
BUILD_ERRORS = (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError, ZeroDivisionError)


def build(config: ArchitectureSpec, input_spec: InputSpec, output_spec: OutputSpec) -> nn.Module:
    """A network with random weights, drawn from torch's global generator.

    Args:
        config: spec of the architecture; its `module` has the function `build`.
        input_spec: what the network takes.
        output_spec: what the network gives.

    Raises:
        UsageError: the architecture does not support the kind or the size of the input or output.
        CorruptArtifactError: transformers cannot build the network of a config.json.
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
    network = _network(config, input_spec, output_spec)
    if config.head == "sigmoid":
        use_sigmoid_head(network, output_spec)
    if not isinstance(config, CustomSpec):  # a custom network is not changed
        use_fast_dropout(network)
    return network


def _network(config: ArchitectureSpec, input_spec: InputSpec, output_spec: OutputSpec) -> nn.Module:
    module = importlib.import_module(config.module)
    source = getattr(config, "config_source", None)
    try:
        network: nn.Module = module.build(config, input_spec, output_spec)
    except BUILD_ERRORS as error:
        if source is None:
            raise
        raise CorruptArtifactError(
            "the network of this config.json cannot be built",
            where=f"model, {source}",
            got=error,
            next_step="use the config.json that came with the weights",
        ) from error
    return network
