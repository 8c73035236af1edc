"""metrics.json: all figures of an evaluation, rounded to 1e-6, since the last bits depend on the CPU."""

from __future__ import annotations

from typing import Any

from components.evaluation.scorer import Scored

DIGITS = 6


def document(split: str, scored: Scored) -> dict[str, Any]:
    """metrics.json: the split, its samples, `overall` with every metric, and the task's own tables."""
    tables: dict[str, Any] = rounded(scored.document())
    return {"split": split, "samples": scored.samples, "overall": rounded(scored.figures()), **tables}


def rounded(value: Any) -> Any:
    """A JSON value with all floats rounded."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
