"""Floors under a model's figures."""

from __future__ import annotations

from collections.abc import Mapping

from components.contracts.errors import GateRefused


def floors(metrics: Mapping[str, float], gates: Mapping[str, Mapping[str, float] | None]) -> None:
    """Refuse a model that is below a floor.

    Args:
        metrics: `overall` of a package's metrics.json.
        gates: the pipeline's `gates:`, `{"accuracy": {"min": 0.98}}`; a gate that is None is not asked for.

    Raises:
        GateRefused: a figure is below its floor, is not a number, or is missing; all of them are named.
    """
    refused = [
        f"{name} {metrics.get(name, float('nan')):.4f} < {gate['min']:.4f}"
        for name, gate in sorted(gates.items())
        if gate is not None and not metrics.get(name, float("nan")) >= gate["min"]
    ]
    if refused:
        names = ", ".join(line.split()[0] for line in refused)
        raise GateRefused(
            f"the model is below the floor of its gate: {names}",
            where="test split",
            got="; ".join(refused),
            expected="each figure at or above gates.<metric>.min",
            next_step="train longer or otherwise, mend the data, or lower the floor in the pipeline's gates:",
        )
