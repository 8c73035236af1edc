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
