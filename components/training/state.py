"""The whole state of a training between two batches, as saved in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from components.training.ema import WeightAverage
from components.training.optimizer import optimizer_state, restore_optimizer
from components.training.randomness import random_state, restore_random_state
from components.training.replication import load_weights, whole, whole_tensor


@dataclass
class EpochTotals:
    """Sums over the batches of the present epoch."""

    loss_sum: float = 0.0
    score_sum: float = 0.0
    count: int = 0


@dataclass
class State:
    """Weights, optimizer, position in the data, results so far.

    Args:
        epoch: number of finished epochs.
        batch: number of finished batches of the present epoch.
        step: number of finished batches in all.
        history: one row of named figures for each epoch.
        kept: weights of the best epoch so far, or of the last (empty before the first epoch).
        kept_epoch: the epoch of these weights, counted from 1.
        best: rank of these weights: validation metric (negated if lower is better), then negated validation loss.
        seconds: time in the loop so far.
        watt_hours: energy by source up to the checkpoint that the training resumed from.
        measure_energy: the energy so far, for a checkpoint.
        average: the moving average of the weights, if the training has one.
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
    watt_hours: dict[str, float] = field(default_factory=dict)
    measure_energy: Callable[[], dict[str, float]] = dict
    average: WeightAverage | None = None

    def weights(self) -> dict[str, Tensor]:
        """A copy of the network's weights and buffers on the CPU, in contiguous layout."""
        return {
            name: whole_tensor(value.detach()).to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, value in self.network.state_dict().items()
        }

    def keep(self) -> None:
        """Keep a copy of the present weights, of the epoch that has just finished."""
        self.kept, self.kept_epoch = self.weights(), self.epoch

    def dump(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state as tensors and as JSON, with the state of every random generator."""
        random_tensors, random_rest = random_state()
        groups = {
            "network": self.weights(),
            "optimizer": whole(optimizer_state(self.optimizer)),
            "kept": self.kept,
            "random": random_tensors,
            "average": {} if self.average is None else self.average.values,
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
            "watt_hours": self.measure_energy(),
            "scaler": self.scaler.state_dict(),
            "random": random_rest,
            "average_steps": 0 if self.average is None else self.average.steps,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Restore the result of `dump`, random generators included."""
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "kept": {}, "random": {}, "average": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value
        load_weights(self.network, groups["network"])
        restore_optimizer(self.optimizer, groups["optimizer"])
        self.kept = groups["kept"]
        self.epoch, self.batch, self.step = facts["epoch"], facts["batch"], facts["step"]
        self.totals = EpochTotals(**facts["totals"])
        self.history = facts["history"]
        self.kept_epoch, self.seconds = facts["kept_epoch"], facts["seconds"]
        self.watt_hours = facts.get("watt_hours", {})  # checkpoints of earlier versions have none
        self.best = tuple(facts["best"]) if facts["best"] else None
        self.scaler.load_state_dict(facts["scaler"])
        if self.average is not None:
            self.average.restore(groups["average"], facts["average_steps"])
        restore_random_state(groups["random"], facts["random"])
