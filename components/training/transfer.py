"""Transfer learning: which weights are trained, in which epoch, and at which rate.

A network is a sequence of blocks from input to head. The head is given by `head_names`, or is the last linear layer.
Below it, weights whose names agree up to their first number are one block (`encoder.layer.3`), and so are consecutive
weights without a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
from components.training.messages import log

_NUMBERED = re.compile(r"^(.*?\.)?\d+(?=\.)")


class Transfer(NamedTuple):
    """A transfer policy and the blocks of a network: names of weights, from input to head."""

    spec: TransferSpec
    blocks: list[list[str]]

    def factors(self) -> dict[str, float]:
        """Factors of the learning rate by name of the weight; 1 for all other weights."""
        if not isinstance(self.spec, DecayTransfer):
            return {}
        top = len(self.blocks) - 1
        return {name: self.spec.factor ** (top - place) for place, block in enumerate(self.blocks) for name in block}

    def begin_epoch(self, network: nn.Module, epoch: int) -> None:
        """Set the trained weights of an epoch (counted from 0); frozen modules run in evaluation mode."""
        network.train()
        if isinstance(self.spec, GradualTransfer):
            frozen = self.blocks[: -1 - epoch // self.spec.epochs_per_block]
            names = {name for block in frozen for name in block}
            for name, parameter in network.named_parameters():
                _set_trainable(parameter, learn=name not in names)
        if isinstance(self.spec, HeadTransfer | GradualTransfer):
            for module in network.modules():
                parameters = list(module.parameters())
                if parameters and not any(parameter.requires_grad for parameter in parameters):
                    module.eval()
            _rest_dropout(network)
        elif isinstance(self.spec, LoraTransfer):
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()


def begin(spec: TransferSpec, network: nn.Module) -> Transfer:
    """Prepare a network for its policy, before the optimizer is built.

    Raises:
        UsageError: LoRA has no target layer.
    """
    transfer = Transfer(spec, blocks(network))
    head = set(transfer.blocks[-1])
    if isinstance(spec, HeadTransfer):
        for name, parameter in network.named_parameters():
            _set_trainable(parameter, learn=name in head)
    elif isinstance(spec, LoraTransfer):
        _add_adapters(spec, network)
        for name, parameter in network.named_parameters():
            _set_trainable(parameter, learn=name in head or ".lora_" in name)
    return transfer


def finish(network: nn.Module) -> None:
    """Restore the plain architecture: merge LoRA adapters into the weights of their layers."""
    for name, module in list(network.named_modules()):
        if hasattr(module, "get_base_layer") and hasattr(module, "lora_A"):
            module.merge()
            network.set_submodule(name, module.get_base_layer())
    for parameter in network.parameters():
        _set_trainable(parameter, learn=True)


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the modules of the head: the network's `head_names`, or its last linear layer."""
    names: tuple[str, ...] | None = getattr(network, "head_names", None)
    if names is not None:
        return tuple(names)
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return tuple(linear[-1:])


def in_head(name: str, heads: tuple[str, ...]) -> bool:
    """Whether a weight belongs to one of the modules."""
    return any(name == head or name.startswith(f"{head}.") for head in heads)


def blocks(network: nn.Module) -> list[list[str]]:
    """Names of the trained weights by block, from input to head; the head is the last block."""
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
        if _is_linear(module) and not in_head(name, heads) and not name.startswith(tuple(within) or ("\0",))
    ]
    uncalled = _uncalled(network, linear)
    chosen = [name for name in linear if _is_target(name, spec.targets)]
    targets = [name for name in chosen if name not in uncalled]
    unused = [target for target in spec.targets if not any(_is_target(name, [target]) for name in targets)]
    if targets and unused:
        raise UsageError(
            "targets of LoRA are without effect",
            where="model.transfer.targets",
            got=", ".join(unused),
            expected=", ".join([name for name in linear if name not in uncalled][:20]),
            next_step="leave them out: no layer that the network calls has such a name",
        )
    if not spec.targets and uncalled:
        log(f"no adapter beside {', '.join(sorted(uncalled))}: the network reads these weights without a call")
    if not targets:
        raise UsageError(
            "no linear layer matches the targets",
            where="model.transfer.targets",
            got=", ".join(spec.targets) or "every linear layer but the head",
            expected=", ".join([name for name in linear if name not in uncalled][:20])
            or "a network with linear layers",
        )
    transposed = not any(isinstance(network.get_submodule(name), nn.Linear) for name in targets)
    config = LoraConfig(
        r=spec.rank, lora_alpha=spec.alpha, target_modules=targets, lora_dropout=0.0, bias="none",
        fan_in_fan_out=transposed,
    )  # fmt: skip
    inject_adapter_in_model(config, network)


def _is_linear(module: nn.Module) -> bool:
    """Whether a module is a linear layer: of torch, or of GPT-2 in transformers, whose weight is transposed."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _is_target(name: str, targets: Sequence[str]) -> bool:
    """Whether a layer has one of the names, or ends of names; without names every layer has."""
    return not targets or any(name == target or name.endswith(f".{target}") for target in targets)


def _uncalled(network: nn.Module, linear: Sequence[str]) -> set[str]:
    """The layers whose weights the network reads without a call, as `uncalled_layers` of its modules says."""
    found: set[str] = set()
    for prefix, module in network.named_modules():
        below = f"{prefix}." if prefix else ""
        names = getattr(module, "uncalled_layers", ())
        found |= {name for name in linear if name.startswith(below) and name.rpartition(".")[2] in names}
    return found


def _rest_dropout(network: nn.Module) -> None:
    """Switch off dropout between frozen layers: where the weights that follow it in the network are not trained."""
    waiting: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            waiting.append(module)
        elif parameters := list(module.parameters(recurse=False)):
            for dropout in waiting:
                dropout.train(any(parameter.requires_grad for parameter in parameters))
            waiting = []


def _set_trainable(parameter: nn.Parameter, *, learn: bool) -> None:
    """Integer parameters (counts and seeds of some networks) are never trained."""
    if parameter.is_floating_point():
        parameter.requires_grad_(learn)
