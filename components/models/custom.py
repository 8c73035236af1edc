"""A network made by a function of anyone's: found by its name, never fetched, never installed."""

from __future__ import annotations

import importlib

from torch import nn

from components.contracts.architectures.custom import CustomSpec
from components.contracts.errors import UsageError
from components.contracts.shapes import Input, Output


def build(spec: CustomSpec, given: Input, wanted: Output) -> nn.Module:
    """What the factory makes.

    Raises:
        UsageError: it does not import, does not take its options, or makes no `nn.Module`.
    """
    module, _, name = spec.factory.partition(":")
    where = "model.factory"
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        next_step = (
            "put the module into the project's folder, or install its package; modelyard installs nothing itself"
        )
        raise UsageError(
            f"the factory {spec.factory} cannot be imported", where=where, got=error, next_step=next_step
        ) from error
    try:
        made = factory(given, wanted, **spec.options)
    except (TypeError, ValueError) as error:
        next_step = "it is called as function(given, wanted, **model.options)"
        raise UsageError(
            f"the factory {spec.factory} makes no network of this", where=where, got=error, next_step=next_step
        ) from error
    if not isinstance(made, nn.Module):
        got, expected = type(made).__name__, "a torch.nn.Module"
        raise UsageError(f"the factory {spec.factory} makes no network", where=where, got=got, expected=expected)
    return made
