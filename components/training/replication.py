"""A network on several ranks: DDP, a copy on each, or FSDP2, a part of every weight on each.

State is exchanged with checkpoints as whole tensors, so that a checkpoint fits any number of ranks and any sharding.
Sources: Li et al. 2020, arXiv:2006.15704 (DDP); Zhao et al. 2023, arXiv:2304.11277 (FSDP), in its second form, torch's
`fully_shard`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from components.training.objectives.objective import Forward
from components.training.ranks import Ranks


class Replica(DistributedDataParallel):
    """A network whose gradients are averaged over the ranks during the backward pass; it has the network's methods."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)


def replicate(forward: nn.Module, device: torch.device) -> Forward:
    """A copy of the network on this rank.

    Some networks have weights that a loss does not use, and a gradual transfer freezes weights for some epochs: DDP
    looks for them in every step.

    Args:
        forward: the network, or its compiled form.
    """
    if not any(parameter.requires_grad for parameter in forward.parameters()):
        return forward
    return Replica(
        forward,
        device_ids=[device.index] if device.type == "cuda" else None,
        forward_sync_buffers=False,  # `align_buffers` does it at checkpoints and evaluations
        find_unused_parameters=True,
    )


def shard(network: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Split every weight of a network over the ranks, in place, block by block.

    A block's whole weights exist on a rank only while the block is computed. Blocks are the modules in a `ModuleList`
    that are made of modules; what is left is one more block. A block that shares a weight with the rest belongs to the
    rest.
    """
    mesh = init_device_mesh(device.type, (ranks.size,))
    for module in network.modules():
        for parameter in module.parameters(recurse=False):
            parameter.data = parameter.data.contiguous()
    for block in _blocks(network):
        fully_shard(block, mesh=mesh)
    fully_shard(network, mesh=mesh)


def _blocks(network: nn.Module) -> list[nn.Module]:
    uses: dict[int, int] = {}
    for _, parameter in network.named_parameters(remove_duplicate=False):
        uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    lists = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    blocks = [block for blocks in lists for block in blocks if any(True for _ in block.children())]
    nested = {id(inner) for block in blocks for inner in block.modules() if inner is not block}
    return [
        block
        for block in blocks
        if id(block) not in nested
        and any(True for _ in block.parameters())
        and all(uses[id(parameter)] == 1 for parameter in block.parameters())
    ]


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, those that are split over the ranks put together; every rank calls it.

    In the order of their names: tensors that were read from a file have another order in every process.
    """
    return {name: whole_tensor(tensors[name]) for name in sorted(tensors)}


def whole_tensor(value: Tensor) -> Tensor:
    """The tensor itself, or, if it is split over the ranks, the whole of it; every rank calls it."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def like(value: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, split over the ranks, placed and laid out in memory as another one."""
    if isinstance(other, DTensor):
        whole = value.to(other.device)  # on every rank, so that nothing is sent
        return distribute_tensor(whole, other.device_mesh, other.placements, src_data_rank=None)
    return torch.empty_like(other).copy_(value)


def load_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """`load_state_dict` with whole tensors, for a network that may be split over the ranks."""
    state = network.state_dict()
    network.load_state_dict(
        {
            name: like(value, state[name]) if isinstance(state.get(name), DTensor) else value
            for name, value in weights.items()
        }
    )


def is_sharded(network: nn.Module) -> bool:
    """Whether the network's weights are split over the ranks."""
    return isinstance(network, FSDPModule)


def without_gradients(network: nn.Module) -> AbstractContextManager[object]:
    """The context of an evaluation. FSDP keeps what it gathers first, which a later backward pass then reads."""
    return torch.no_grad() if is_sharded(network) else torch.inference_mode()


def align_buffers(network: nn.Module, ranks: Ranks) -> None:
    """Give every rank the buffers of the first, such as statistics of its share of the data.

    A training that goes on from a checkpoint then has the same buffers on all ranks as the one that wrote it.
    """
    if not ranks.several:
        return
    saved = network.state_dict(keep_vars=True)
    for name, buffer in network.named_buffers():
        if name in saved:
            dist.broadcast(buffer, 0)
