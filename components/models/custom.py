"""A network from a function outside this package, imported by its name; nothing is fetched or installed."""

from __future__ import annotations

import importlib
import sys

from torch import Tensor, nn

from components.contracts.architectures.custom import CustomSpec
from components.contracts.shapes import InputSpec, OutputSpec
from components.core.errors import UsageError


def build(config: CustomSpec, input_spec: InputSpec, output_spec: OutputSpec) -> nn.Module:
    """The network that the factory returns.

    Raises:
        UsageError: the factory cannot be imported, refuses its options, or returns no `nn.Module`.
    """
    module, _, name = config.factory.partition(":")
    where = "model.factory"
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        next_step = "put the module into the project's folder, or install its package; modelyard installs nothing"
        raise UsageError(
            f"the factory {config.factory} cannot be imported", where=where, got=error, next_step=next_step
        ) from error
    _reset_layer_names()
    try:
        made = factory(input_spec, output_spec, **config.options)
    except (TypeError, ValueError) as error:
        next_step = "it is called as function(input_spec, output_spec, **model.options)"
        raise UsageError(f"the factory {config.factory} failed", where=where, got=error, next_step=next_step) from error
    if not isinstance(made, nn.Module):
        got, expected = type(made).__name__, "a torch.nn.Module"
        raise UsageError(f"the factory {config.factory} returns no network", where=where, got=got, expected=expected)
    return KerasNetwork(made) if _is_keras(made) else made


class KerasNetwork(nn.Module):
    """A Keras 3 model on its torch backend; passes `training` to the model, which ignores torch's `train()`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        """The output of the model for its input, or for the list of its inputs."""
        outputs: Tensor = self.model(inputs[0] if len(inputs) == 1 else list(inputs), training=self.training)
        return outputs


def _is_keras(network: nn.Module) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(network, keras.Layer)


def _reset_layer_names() -> None:
    """Reset Keras' counter of layer names, which runs through the whole process: a network that is built twice gets the
    same names of weights."""
    keras = sys.modules.get("keras")
    if keras is not None:
        keras.utils.clear_session(free_memory=False)
