"""Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174): blocks keep their inputs and compute the rest again.

The memory of the activations is that of one block instead of all; the forward pass of each block runs twice. Random
draws are repeated from the same states, and running statistics are updated once, so that the training is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from components.core.errors import UsageError


def checkpoint_blocks(network: nn.Module) -> list[str]:
    """Let each block of a network be computed again in the backward pass; returns the names of the blocks.

    Raises:
        UsageError: the network has no repeated blocks.
    """
    blocks = repeated_blocks(network)
    if not blocks:
        raise UsageError(
            "the network has no blocks that could be computed again",
            where="train.gradient_checkpointing",
            got=type(network).__name__,
            expected="a network of repeated blocks, such as a transformer or a residual network",
            next_step="leave it out of the pipeline; train.accumulation_steps saves memory for every network",
        )
    for block in blocks.values():
        block.forward = _recomputed(block, block.forward)
    return list(blocks)


def repeated_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """The outermost modules of several layers that stand in a list or a sequence and whose class occurs there twice."""
    members: dict[str, nn.Module] = {}
    for name, container in network.named_modules():
        if isinstance(container, nn.ModuleList | nn.Sequential):
            members |= {
                f"{name}.{key}": child
                for key, child in container.named_children()
                if any(True for _ in child.children()) and any(True for _ in child.parameters())
                and not isinstance(child, nn.ModuleList | nn.ModuleDict)
            }  # fmt: skip
    counts = Counter(type(member) for member in members.values())
    repeated = {name: member for name, member in members.items() if counts[type(member)] > 1}
    return {
        name: member for name, member in repeated.items() if not any(name.startswith(f"{outer}.") for outer in repeated)
    }


def _recomputed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    statistics = [module for module in block.modules() if hasattr(module, "running_mean")]

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen(statistics)

    further: dict[str, Any] = {"context_fn": contexts} if statistics else {}

    def run(*inputs: Any, **named: Any) -> Any:
        if not (block.training and torch.is_grad_enabled()):
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, **further, **named)

    return run


@contextmanager
def _frozen(modules: list[nn.Module]) -> Iterator[None]:
    """Within the context, batch normalisations leave their running statistics as they are."""
    before = [(module, module.momentum, getattr(module, "num_batches_tracked", None)) for module in modules]
    counts = [None if count is None else cast(Tensor, count).clone() for _, _, count in before]
    for module in modules:
        module.momentum = 0.0  # type: ignore[assignment]  # the weight of the batch; modules type attributes as tensors
    try:
        yield
    finally:
        for (module, momentum, count), value in zip(before, counts, strict=True):
            module.momentum = momentum
            if count is not None:
                cast(Tensor, count).copy_(cast(Tensor, value))
