"""Predictions as columns that can be compared: labels, confidences, numbers, and the sizes of lists and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

OUTPUT = "output."
LABEL, CONFIDENCE = f"{OUTPUT}label", f"{OUTPUT}confidence"
_SCORES = ("probabilities", "scores")


def columns(predictions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Columns of n values by name, for n predictions; None where a prediction has no such value."""
    rows = [_row(one) for one in predictions]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _row(prediction: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in prediction.items():
        if name == "label":
            found[LABEL] = str(value)
        elif name in _SCORES and isinstance(value, dict) and value:
            found[CONFIDENCE] = float(max(value.values()))
        elif name == "labels" and isinstance(value, list):
            found[f"{OUTPUT}labels"] = json.dumps(sorted(map(str, value)), ensure_ascii=False)
        elif isinstance(value, bool) or value is None:
            continue
        elif isinstance(value, int | float):
            found[OUTPUT + name] = float(value)
        elif isinstance(value, str):
            found[f"{OUTPUT}{name}.characters"] = float(len(value))
        elif isinstance(value, list) and value and all(_is_number(one) for one in value):
            found[f"{OUTPUT}{name}.mean"] = float(sum(value) / len(value))
        elif isinstance(value, list):
            found[f"{OUTPUT}{name}.count"] = float(len(value))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
