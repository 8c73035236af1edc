"""Embeddings of a window's inputs, by the network of the package; of tasks whose graph gives them, and kept inputs."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.core.errors import InferenceError, SampleError
from components.identity.package import Package
from components.inference.predictor import Predictor
from components.monitoring.log_reader import INPUT

MOST_ROWS = 2_000  # of a window, spread evenly
_BATCH = 128


def of_inputs(package: Package, rows: pd.DataFrame) -> NDArray[np.float32] | None:
    """The embeddings (n, D) of kept inputs; None where none is kept. Inputs that cannot be read are left out."""
    if INPUT not in rows.columns:
        return None
    kept = rows[INPUT].dropna()
    kept = kept.iloc[:: -(-len(kept) // MOST_ROWS)] if len(kept) > MOST_ROWS else kept
    predictor = Predictor(package)
    samples = []
    for text in kept:
        try:
            samples += predictor.read([_item(json.loads(text))])
        except (SampleError, ValueError):
            continue
    found = []
    for start in range(0, len(samples), _BATCH):
        try:
            found.append(predictor.embed(samples[start : start + _BATCH]))
        except InferenceError:
            continue
    return np.concatenate(found) if found else None


def _item(value: Any) -> Any:
    """An item as the service received it."""
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return base64.b64decode(value["base64"])
    return value
