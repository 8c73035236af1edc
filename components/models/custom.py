"""A network made by a function of anyone's: found by its name, never fetched, never installed."""

from __future__ import annotations

import importlib
import sys

from torch import Tensor, nn

from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.errors import UsageError


def build(config: CustomSpec, input_spec: InputSpec, output_spec: OutputSpec) -> nn.Module:
    """What the factory makes.

    Raises:
        UsageError: it does not import, does not take its options, or makes no `nn.Module`.
    """
    module, _, name = config.factory.partition(":")
    where = "model.factory"
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        next_step = (
            "put the module into the project's folder, or install its package; modelyard installs nothing itself"
        )
        raise UsageError(
            f"the factory {config.factory} cannot be imported", where=where, got=error, next_step=next_step
        ) from error
    _number_anew()
    try:
        made = factory(input_spec, output_spec, **config.options)
    except (TypeError, ValueError) as error:
        next_step = "it is called as function(input_spec, output_spec, **model.options)"
        raise UsageError(
            f"the factory {config.factory} makes no network of this", where=where, got=error, next_step=next_step
        ) from error
    if not isinstance(made, nn.Module):
        got, expected = type(made).__name__, "a torch.nn.Module"
        raise UsageError(f"the factory {config.factory} makes no network", where=where, got=got, expected=expected)
    return KerasNetwork(made) if _is_keras(made) else made


class KerasNetwork(nn.Module):
    """A Keras 3 model on its torch backend, which is told whether it is trained: `train()` alone does not tell it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """What the model gives for its input, or for the list of its inputs."""
        outputs: Tensor = self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=self.training)
        return outputs


def _is_keras(network: nn.Module) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(network, keras.Layer)


def _number_anew() -> None:
    """Keras numbers layers without names through the whole process, and weights are named by that: the same network
    built twice would not take its own weights."""
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.utils.clear_session(free_memory=False)
