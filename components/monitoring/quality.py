"""How good the answers of a window are: estimated without labels, and of those whose truth was told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from components.drift import estimated_quality
from components.drift.columns import compare
from components.monitoring import live_quality
from components.monitoring.output_columns import CONFIDENCE, LABEL
from components.monitoring.reference import TRUTH


def of_window(
    reference: pd.DataFrame, frame: pd.DataFrame, rows: pd.DataFrame, truths: list[Any], drifted: tuple[str, ...] = ()
) -> dict[str, Any]:
    """`quality`, the estimated accuracy; `live`, the figures of answers with a truth; `labels`, their distribution.

    `unknown_classes` counts the truths by the name that is no class of the model; they are in no figure.

    Args:
        frame: columns of the window's outputs, and the truths as texts.
        rows: of the window, as the log has them.
        drifted: streams of an alarm, which make the estimate doubtful.
    """
    labelled = _labelled(rows, truths)
    return {
        "quality": estimated(reference, frame, drifted),
        "live": [one._asdict() for one in live_quality.figures(labelled)],
        "labels": _labels(reference, frame),
        "unknown_classes": live_quality.unknown_counts(labelled),
    }


def unknown_note(rows: pd.DataFrame, truths: list[Any]) -> str | None:
    """What a person should know of the truths of a window that are no class of the model; None without any."""
    labelled = _labelled(rows, truths)
    counts, known = live_quality.unknown_counts(labelled), live_quality.known_classes(labelled["output"])
    return live_quality.unknown_note(counts, known)


def estimated(reference: pd.DataFrame, frame: pd.DataFrame, drifted: tuple[str, ...]) -> dict[str, Any] | None:
    """The estimate, and how far it is below the reference's; None for tasks without labels and confidences.

    Args:
        frame: columns of the window's outputs.
        drifted: streams of an alarm, which make the estimate doubtful.
    """
    if not {CONFIDENCE, LABEL, TRUTH} <= set(reference.columns) or CONFIDENCE not in frame:
        return None
    known = reference.dropna(subset=[CONFIDENCE, LABEL, TRUTH])
    right = (known[LABEL].astype(str) == known[TRUTH].astype(str)).to_numpy()
    confidences = frame[CONFIDENCE].dropna().to_numpy(float)
    found = estimated_quality.estimate(
        np.clip(known[CONFIDENCE].to_numpy(float), 0, 1), right, np.clip(confidences, 0, 1), drifted=drifted
    )
    of_reference = float(right.mean()) if len(right) else None
    drop = None if found.metric is None or of_reference is None else of_reference - found.value
    return {**found._asdict(), "of_reference": of_reference, "drop": drop}


def _labelled(rows: pd.DataFrame, truths: list[Any]) -> pd.DataFrame:
    """The answers of which a truth was told."""
    told = [truth is not None for truth in truths]
    labelled = rows.loc[told, ["version", "role", "output"]].copy()
    labelled["output"] = pd.Series([json.loads(text) for text in labelled["output"]], labelled.index, dtype=object)
    labelled["truth"] = pd.Series([truth for truth in truths if truth is not None], labelled.index, dtype=object)
    return labelled


def _labels(reference: pd.DataFrame, frame: pd.DataFrame) -> dict[str, Any] | None:
    """The distribution of the window's labels against the reference's; None without labels."""
    if TRUTH not in reference.columns or frame[TRUTH].isna().all():
        return None
    told = pd.DataFrame({TRUTH: frame[TRUTH].dropna()})
    (found,) = compare(reference[[TRUTH]], told)
    return {**found._asdict(), "share": len(told) / len(frame)}
