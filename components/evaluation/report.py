"""metrics.json: all figures of an evaluation. Rounded to 1e-6: last bits depend on the processor."""

from __future__ import annotations

from typing import Any

from components.evaluation.scorer import Scored

DIGITS = 6


def document(split: str, scored: Scored) -> dict[str, Any]:
    """metrics.json: the split, its samples, `overall` with every metric, and the task's own tables."""
    tables: dict[str, Any] = rounded(scored.document())
    return {"split": split, "samples": scored.samples, "overall": rounded(scored.figures()), **tables}


def rounded(value: Any) -> Any:
    """Every float in a JSON value, rounded."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
