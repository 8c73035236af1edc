"""Which weights are trained, when, and how fast, where a network starts from pretrained ones.

A network is a row of blocks from its input to its head: the head is what its `head_names` say or its last linear layer;
below it, all weights whose names agree up to their first number are a block (`encoder.layer.3`), and so are neighbours
without a number.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from torch import nn

from components.contracts.architectures.architecture import (
    DecayTransfer,
    GradualTransfer,
    HeadTransfer,
    LoraTransfer,
    TransferSpec,
)
from components.core.errors import UsageError

_NUMBERED = re.compile(r"^(.*?\.)?\d+(?=\.)")


class Transfer(NamedTuple):
    """A policy for a network's blocks: names of weights, from the input to the head."""

    spec: TransferSpec
    blocks: list[list[str]]

    def factors(self) -> dict[str, float]:
        """What each weight's learning rate is multiplied with; those that are not named by 1."""
        if not isinstance(self.spec, DecayTransfer):
            return {}
        top = len(self.blocks) - 1
        return {name: self.spec.factor ** (top - place) for place, block in enumerate(self.blocks) for name in block}

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Set what is trained in an epoch (counted from 0); what is not neither drops out nor gathers statistics."""
        network.train()
        if isinstance(self.spec, GradualTransfer):
            frozen = self.blocks[: -1 - epoch // self.spec.epochs_per_block]
            names = {name for block in frozen for name in block}
            for name, parameter in network.named_parameters():
                _let(parameter, learn=name not in names)
        if isinstance(self.spec, HeadTransfer | GradualTransfer):
            for module in network.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
        elif isinstance(self.spec, LoraTransfer):
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def begin(spec: TransferSpec, network: nn.Module) -> Transfer:
    """Make a network ready for its policy; before its optimizer is built.

    Raises:
        UsageError: LoRA has nothing to lie beside.
    """
    transfer = Transfer(spec, blocks(network))
    head = set(transfer.blocks[-1])
    if isinstance(spec, HeadTransfer):
        for name, parameter in network.named_parameters():
            _let(parameter, learn=name in head)
    elif isinstance(spec, LoraTransfer):
        _add_adapters(spec, network)
        for name, parameter in network.named_parameters():
            _let(parameter, learn=name in head or ".lora_" in name)
    return transfer


def finish(network: nn.Module) -> None:
    """The plain architecture again: what LoRA learned is added to the weights that it lies beside."""
    for name, module in list(network.named_modules()):
        if hasattr(module, "get_base_layer") and hasattr(module, "lora_A"):
            module.merge()
            network.set_submodule(name, module.get_base_layer())
    for parameter in network.parameters():
        _let(parameter, learn=True)


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the modules that belong to the task alone: what the network says, or its last linear layer."""
    said: tuple[str, ...] | None = getattr(network, "head_names", None)
    if said is not None:
        return tuple(said)
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return tuple(linear[-1:])


def in_head(name: str, heads: tuple[str, ...]) -> bool:
    """Whether a weight lies in one of the modules."""
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def blocks(network: nn.Module) -> list[list[str]]:
    """Names of the trained weights by block, from the input to the head, which is the last."""
    heads = head_names(network)
    found: list[list[str]] = []
    before: str | None = None
    for name, _ in network.named_parameters():
        if in_head(name, heads):
            continue
        match = _NUMBERED.match(name)
        block = match.group() if match else ""
        if block != before:
            found.append([])
        found[-1].append(name)
        before = block
    return [*found, [name for name, _ in network.named_parameters() if in_head(name, heads)]]


def _add_adapters(spec: LoraTransfer, network: nn.Module) -> None:
    from peft import LoraConfig, inject_adapter_in_model  # seconds to import

    heads = head_names(network)
    within = [f"{name}." for name, module in network.named_modules() if isinstance(module, nn.MultiheadAttention)]
    linear = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and not in_head(name, heads) and not name.startswith(tuple(within) or ("\0",))
    ]
    targets = [
        name
        for name in linear
        if not spec.targets or any(name == target or name.endswith(f".{target}") for target in spec.targets)
    ]
    if not targets:
        raise UsageError(
            "there is no linear layer of that name",
            where="model.transfer.targets",
            got=", ".join(spec.targets) or "every linear layer but the head",
            expected=", ".join(linear[:20]) or "a network with linear layers",
        )
    config = LoraConfig(r=spec.rank, lora_alpha=spec.alpha, target_modules=targets, lora_dropout=0.0, bias="none")
    inject_adapter_in_model(config, network)


def _let(parameter: nn.Parameter, *, learn: bool) -> None:
    """Counts and seeds, which some networks keep as parameters, never learn."""
    if parameter.is_floating_point():
        parameter.requires_grad_(learn)
