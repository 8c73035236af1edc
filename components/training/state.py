"""All that a training is between two batches; a checkpoint holds exactly this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from components.training.optimizer import optimizer_state, restore_optimizer
from components.training.randomness import random_state, restore_random_state


@dataclass
class EpochTotals:
    """What the epoch under way has summed up so far."""

    loss_sum: float = 0.0
    score_sum: float = 0.0
    count: int = 0


@dataclass
class State:
    """Weights, optimizer, place in the data, results so far.

    Args:
        epoch: epochs done.
        batch: batches done of the epoch under way.
        step: batches done in all.
        history: one row of named figures an epoch.
        kept: weights of the best epoch so far (empty before the first, or where the last is to be kept).
        kept_epoch: the epoch they are of, counted from 1.
        best: their validation metric, negated where lower is better, and negated validation loss, which decides
            between equal metrics.
        seconds: spent in the loop so far.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    epoch: int = 0
    batch: int = 0
    step: int = 0
    totals: EpochTotals = field(default_factory=EpochTotals)
    history: list[dict[str, float]] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    kept_epoch: int = 0
    best: tuple[float, float] | None = None
    seconds: float = 0.0

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and buffers in the main memory, in their usual layout."""
        return {
            name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in self.network.state_dict().items()
        }

    def keep(self) -> None:
        """Remember the present weights as those of the epoch just done."""
        self.kept, self.kept_epoch = self.weights(), self.epoch

    def dump(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything, as tensors and as JSON, with the state of every random generator."""
        random_tensors, random_rest = random_state()
        groups = {
            "network": self.weights(),
            "optimizer": optimizer_state(self.optimizer),
            "kept": self.kept,
            "random": random_tensors,
        }
        tensors = {f"{group}.{name}": value for group, part in groups.items() for name, value in part.items()}
        facts = {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "totals": vars(self.totals),
            "history": self.history,
            "kept_epoch": self.kept_epoch,
            "best": self.best,
            "seconds": self.seconds,
            "scaler": self.scaler.state_dict(),
            "random": random_rest,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Become what `dump` saw, random generators included."""
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "kept": {}, "random": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        self.network.load_state_dict(groups["network"])
        restore_optimizer(self.optimizer, groups["optimizer"])
        self.kept = groups["kept"]
        self.epoch, self.batch, self.step = facts["epoch"], facts["batch"], facts["step"]
        self.totals = EpochTotals(**facts["totals"])
        self.history = facts["history"]
        self.kept_epoch, self.seconds = facts["kept_epoch"], facts["seconds"]
        self.best = tuple(facts["best"]) if facts["best"] else None
        self.scaler.load_state_dict(facts["scaler"])
        restore_random_state(groups["random"], facts["random"])
