"""Optuna's samplers and pruners by name, with their settings pinned: its defaults change between versions.

A sampler is made anew for each trial, seeded with the number of the trial. So what it proposes is a function of the
search's seed, the number of the trial and the results that it knows; a search that was killed goes on as if it was not.
"""

from __future__ import annotations

import hashlib
import warnings

from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from components.contracts.tune_spec import TuneSpec
from components.tuning.space import grid

STARTUP_TRIALS = 8  # drawn at random before a model of the objective is worth anything
REDUCTION = 3
LEAST_COMPARED = 4  # completed trials, before the median says anything


def sampler(spec: TuneSpec, number: int) -> BaseSampler:
    """The sampler of a trial."""
    seed = derived_seed(spec.seed, number)
    # An interface that may change is pinned by the lock; what a sampler cannot draw jointly it draws alone.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    match spec.sampler:
        case "tpe":
            return samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP_TRIALS, n_ei_candidates=24, multivariate=True, group=True,
                constant_liar=True,
            )  # fmt: skip
        case "gp":  # imports torch
            return samplers.GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS)
        case "cmaes":
            return samplers.CmaEsSampler(seed=seed, n_startup_trials=1, consider_pruned_trials=False)
        case "nsga2":
            return samplers.NSGAIISampler(seed=seed, population_size=16)
        case "grid":
            return samplers.GridSampler(grid(spec), seed=spec.seed)  # shuffles the grid, which is one for all
        case "random":
            return samplers.RandomSampler(seed=seed)


def pruner(spec: TuneSpec, epochs: int) -> BasePruner:
    """The pruner of a search.

    Args:
        epochs: the most that a trial trains.
    """
    if len(spec.objectives) > 1:
        return pruners.NopPruner()
    least = max(1, round(epochs / REDUCTION**2))
    match spec.pruner:
        case "asha":
            return pruners.SuccessiveHalvingPruner(
                min_resource=least, reduction_factor=REDUCTION, min_early_stopping_rate=0
            )
        case "hyperband":
            return pruners.HyperbandPruner(min_resource=least, max_resource=epochs, reduction_factor=REDUCTION)
        case "median":
            return pruners.MedianPruner(n_startup_trials=LEAST_COMPARED, n_warmup_steps=least)
        case "percentile":
            return pruners.PercentilePruner(25.0, n_startup_trials=LEAST_COMPARED, n_warmup_steps=least)
        case "none":
            return pruners.NopPruner()


def derived_seed(seed: int, number: int) -> int:
    """A seed for one trial, 31 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1
