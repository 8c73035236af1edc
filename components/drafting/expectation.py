"""One expectation of expectations.json."""

from __future__ import annotations

import math
from typing import Any

Expectation = dict[str, Any]


def expectation(kind: str, description: str, share: dict[str, float] | None = None, **arguments: Any) -> Expectation:
    """One expectation; `share` is {} or `mostly` with its value."""
    return {"type": kind, "kwargs": {**arguments, **(share or {})}, "description": description}


def mostly(share: float) -> dict[str, float]:
    """`mostly` slightly below the share; {} for a share of 1."""
    return {} if share >= 1 else {"mostly": max(0.0, math.floor(share * 990) / 1000)}


def rounded(value: float, *, down: bool) -> float:
    """Round to three digits, down or up."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return float(f"{(math.floor if down else math.ceil)(value / unit) * unit:.6g}")


def range_text(name: str, bounds: tuple[float, float], seen: tuple[float, float], without_far: bool) -> str:
    """What an expectation on a range expects, and where its bounds come from.

    Args:
        without_far: whether values far from all others are not counted as seen.
    """
    low, high, first, last = (f"{value:,.0f}" if value == int(value) else f"{value:g}" for value in (*bounds, *seen))
    left_out = ", apart from values far from all others" if without_far else ""
    seen_text = f"{first} to {last} was seen{left_out}"
    return f"{name} is {low} to {high}: {seen_text}, and a quarter of the range is added on both sides"
