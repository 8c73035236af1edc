"""The processes of one training, its ranks: what they agree on and what they add up, on torch.distributed.

Every rank runs the same loop on its share of each batch. A training in one process has the only rank `ALONE`, of which
every operation is free.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch import distributed as dist

from components.core.errors import UsageError
from components.training.batches import derive_seed

STORE = "MODELYARD_RANKS_STORE"  # a file through which the ranks of one machine find each other
PEER_LOST = "another process of the training ended"
FEW_VALUES = 8192  # sent faster to every rank than added up on the way
WAIT = timedelta(minutes=30)  # for the slowest rank; a rank that has ended is noticed at once


class Ranks:
    """The ranks of a training, seen from one of them.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
        local_rank: number of this process on its machine.
        group: of the ranks' agreements, on the CPU; None if there is one rank.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, group: Any = None) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self._group = group

    @property
    def several(self) -> bool:
        """Whether the training has more than one process."""
        return self.size > 1

    @property
    def first(self) -> bool:
        """Whether this rank writes files, events and messages."""
        return self.rank == 0

    @property
    def local_size(self) -> int:
        """The number of ranks on this machine."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.size))

    def share(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples of a batch that this rank computes: every `size`-th; the shares differ by one sample at most.

        In a batch that is sorted by length the shares need about as much time.
        """
        return index[self.rank :: self.size] if self.several else index

    def turns(self, begins: range) -> Iterator[tuple[int, float]]:
        """The batches of an evaluation that this rank computes, as (begin, weight).

        All ranks have as many: a rank with one too few computes the last once more, with the weight 0.
        """
        for first in range(0, len(begins), self.size):
            place = first + self.rank
            yield begins[min(place, len(begins) - 1)], float(place < len(begins))

    def threads(self, limit: int | None = None, cores: int | None = None) -> int | None:
        """This rank's CPU threads; None: torch's default for a single process.

        Args:
            limit: of all ranks together.
            cores: of each machine, for the ranks there; None: all that this process may use.
        """
        if not self.several:
            return min((number for number in (limit, cores) if number is not None), default=None)
        here = min(usable_cores(), usable_cores() if cores is None else cores) // self.local_size
        return max(1, here if limit is None else min(here, limit // self.size))

    def device(self) -> torch.device:
        """The GPU of this rank, or the CPU.

        Raises:
            UsageError: the machine has GPUs, but fewer than ranks.
        """
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if not self.several:
            return torch.device("cuda")
        check_devices(self.local_size)
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks, in place, the same bits on every rank.

        Few values on the CPU go to every rank, which adds them up in the order of the ranks: over gloo that is one
        exchange, where an all-reduce takes two (0.4 ms against 1.6 ms for 192 values).
        """
        if not self.several:
            return values
        if values.device.type == "cpu" and values.numel() <= FEW_VALUES:
            parts = [torch.empty_like(values) for _ in range(self.size)]
            dist.all_gather(parts, values)
            return torch.sum(torch.stack(parts), dim=0, out=values)
        dist.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag of some rank is set."""
        if not self.several:
            return flag
        flags = torch.tensor([flag], dtype=torch.int32)
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self._group)
        return bool(flags.item())

    def post_any(self, flags: list[bool]) -> tuple[Any, Tensor]:
        """As `any` for several flags, without waiting: wait for the first of what it returns, then read the second."""
        tensor = torch.tensor(flags, dtype=torch.int32)
        return dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._group, async_op=True), tensor

    def of_first(self, number: int) -> int:
        """The number that the first rank has."""
        if not self.several:
            return number
        tensor = torch.tensor([number if self.first else 0], dtype=torch.int64)
        dist.all_reduce(tensor, group=self._group)
        return int(tensor.item())

    def totals(self, values: dict[str, float]) -> dict[str, float]:
        """The sum over the ranks of each figure; every rank has figures of the same names."""
        if not self.several or not values:
            return values
        sums = torch.tensor([values[name] for name in sorted(values)], dtype=torch.float64)
        dist.all_reduce(sums, group=self._group)
        return dict(zip(sorted(values), sums.tolist(), strict=True))

    def seed(self, seed: int) -> None:
        """Seed every random generator of this process for a step.

        The draws of a rank are a function of the training's seed, the step and the rank, so that a checkpoint needs the
        random state of no rank.
        """
        own = derive_seed(seed, "rank", self.rank)
        random.seed(own)
        np.random.seed(own % 2**32)
        torch.manual_seed(own)

    def leave(self) -> None:
        """End the connections to the other ranks."""
        if self.several and dist.is_initialized():
            dist.destroy_process_group()


ALONE = Ranks()


def join() -> Ranks:
    """Join the other ranks of this training, as torchrun's environment names them; `ALONE` if it names none.

    gloo connects CPUs, NCCL connects GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    rank, local_rank = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store = os.environ.get(STORE)
    if store:
        dist.init_process_group(backend, f"file://{store}", rank=rank, world_size=size, timeout=WAIT)
    else:
        dist.init_process_group(backend, timeout=WAIT)
    return Ranks(rank, size, local_rank, dist.new_group(backend="gloo", timeout=WAIT))


def usable_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_devices(processes: int) -> None:
    """Refuse more processes than GPUs on a machine that has GPUs.

    Raises:
        UsageError: there are fewer GPUs.
    """
    if torch.cuda.is_available() and torch.cuda.device_count() < processes:
        raise UsageError(
            "the machine has fewer GPUs than the training has processes",
            where="train.processes",
            got=processes,
            expected=f"at most {torch.cuda.device_count()}",
            next_step="lower train.processes: each process has a GPU of its own",
        )
