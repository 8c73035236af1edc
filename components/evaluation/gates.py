"""Floors for the metrics of a model."""

from __future__ import annotations

from collections.abc import Mapping

from components.contracts.pipeline import FloorSpec
from components.core.errors import GateRefused


def floors(metrics: Mapping[str, float], required: Mapping[str, FloorSpec]) -> None:
    """Raise GateRefused if a metric misses its floor.

    Args:
        metrics: `overall` of a package's metrics.json.
        required: the floors of the pipeline's `gates:`, by metric.

    Raises:
        GateRefused: a figure misses its floor, is NaN, or is missing; all such figures are named.
    """
    refused = {
        name: figure for name, floor in sorted(required.items()) if not floor.met(figure := figure_of(metrics, name))
    }
    if refused:
        raise GateRefused(
            f"the model misses the floor of its gate: {', '.join(refused)}",
            where="test split",
            got="; ".join(missed(name, figure, required[name]) for name, figure in refused.items()),
            expected="each figure at or above gates.<metric>.min, at or below gates.<metric>.max",
            next_step="train with other settings, correct the data, or change the floor in the pipeline's gates:",
        )


def figure_of(metrics: Mapping[str, float], name: str) -> float:
    """A figure by name, NaN if it is missing."""
    return metrics.get(name, float("nan"))


def missed(name: str, figure: float, floor: FloorSpec) -> str:
    """A figure and the floor that it misses, as text."""
    return (
        f"{name} {figure:.4f} < {floor.min:.4f}" if floor.min is not None else f"{name} {figure:.4f} > {floor.max:.4f}"
    )
