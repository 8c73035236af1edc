"""The number of parameters of a network that is not built: on torch's meta device, which holds no values."""

from __future__ import annotations

import torch

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.models.build import build


def count(config: ArchitectureSpec, input_spec: InputSpec, output_spec: OutputSpec) -> int:
    """Trained and frozen parameters of a network for these inputs and outputs.

    Raises:
        UsageError: the architecture does not support the input or the output.
    """
    try:
        with torch.device("meta"):
            network = build(config, input_spec, output_spec)
    except (RuntimeError, NotImplementedError):  # a network that reads values while it is built
        network = build(config, input_spec, output_spec)
    return sum(parameter.numel() for parameter in network.parameters())
