"""From a spec to its network."""

from __future__ import annotations

import importlib

from torch import nn

from components.contracts.architectures.architecture import ArchitectureSpec
from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import Input, Output
from components.core.errors import UsageError
from components.models.dropout import draw_little


def build(spec: ArchitectureSpec, given: Input, wanted: Output) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        spec: the architecture; the module that it names builds it.
        given: what the network gets.
        wanted: what it is to give.

    Raises:
        UsageError: the architecture is for other inputs or outputs, or these are too small for it.
    """
    for word, kind, possible in (("takes", given.kind, spec.takes), ("gives", wanted.kind, spec.gives)):
        if kind not in possible:
            raise UsageError(
                f"this architecture {word} no {kind}",
                where="model.name",
                got=getattr(spec, "name", type(spec).__name__),
                expected=f"one that {word} {kind}; this one {word} {', '.join(sorted(possible))}",
                next_step="choose another model for this task; `modelyard schema` lists them",
            )
    network: nn.Module = importlib.import_module(spec.module).build(spec, given, wanted)
    if not isinstance(spec, CustomSpec):  # such a network is its maker's own
        draw_little(network)
    return network
