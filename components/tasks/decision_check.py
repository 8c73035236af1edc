"""Check of `decision:` against the classes of the prepared data, before any training."""

from __future__ import annotations

from collections.abc import Sequence

from components.contracts.decision_spec import DecisionSpec
from components.core.errors import UsageError


def check(spec: DecisionSpec, kind: str, classes: Sequence[str]) -> None:
    """Check that a decision fits the classes of the data.

    Args:
        kind: of the task's output: `classes` or `labels`.

    Raises:
        UsageError: a threshold for other than two classes, or of a class that the data does not have.
    """
    unknown = [*spec.threshold] if isinstance(spec.threshold, dict) else []
    unknown = [name for name in [*unknown, *([spec.positive] if spec.positive else [])] if name not in classes]
    if unknown:
        raise _refused("decision", ", ".join(unknown), f"classes of the data: {', '.join(classes)}")
    if kind == "labels":
        if spec.reject_below is not None or spec.positive is not None or spec.optimise != "f1":
            raise _refused("decision", "reject_below, positive or optimise", "threshold alone, of a multi-label task")
    elif spec.threshold is not None and len(classes) != 2:
        raise _refused("decision.threshold", f"{len(classes)} classes", "two classes, or a multi-label task")
    elif isinstance(spec.threshold, dict) and (len(spec.threshold) != 1 or spec.positive is not None):
        raise _refused(
            "decision.threshold", f"{spec.threshold}", "the threshold of one class, which is the positive one"
        )


def _refused(where: str, got: str, expected: str) -> UsageError:
    return UsageError(
        "the decision does not fit the classes of the data",
        where=where,
        got=got,
        expected=expected,
        next_step="change the section decision of the pipeline",
    )
