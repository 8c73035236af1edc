"""Join truths that were told later with the predictions that they are about.

Legend: a prediction is one answered sample of one role; champion and shadow of one request have one id and one truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from components.contracts.prediction_log import answered_at
from components.monitoring.log_reader import FACTS

LATE_SECONDS = 30 * 86_400.0


class JoinCounts(NamedTuple):
    """What the join met.

    Args:
        labelled: predictions with a truth.
        unlabelled: predictions without one.
        unknown: truths of predictions that the log has not, as they were sampled out, dropped or never made.
        double: truths that repeat an earlier one of the same prediction.
        contradicting: predictions of which different truths were told; the last one counts.
        late: truths told more than 30 days after their prediction; they count.
    """

    labelled: int
    unlabelled: int
    unknown: int
    double: int
    contradicting: int
    late: int


class Labelled(NamedTuple):
    """Predictions with their truths.

    Args:
        table: a row for each prediction with a truth: id, index, time, model, version, package, role, output (JSON as
            Python's values), truth, told_at (seconds since 1970); and the columns beside `log_reader.FACTS`.
    """

    table: pd.DataFrame
    counts: JoinCounts


def join(predictions: pa.Table, feedback: Iterable[dict[str, Any]]) -> Labelled:
    """The predictions with their truths.

    Args:
        predictions: as of `log_reader.LogPart`.
        feedback: rows of `log_reader.FEEDBACK_SCHEMA`, of any hours.
    """
    truths: dict[tuple[str, int], tuple[float, str]] = {}
    double = late = 0
    contradicting: set[tuple[str, int]] = set()
    known = set(zip(predictions["id"].to_pylist(), predictions["index"].to_pylist(), strict=True))
    unknown: set[tuple[str, int]] = set()
    for row in feedback:
        key = str(row["id"]), int(row["index"] or 0)
        told_at = float(row["arrived"] if row["at"] is None else row["at"])
        if key not in known:
            unknown.add(key)
            continue
        late += told_at - answered_at(key[0]) > LATE_SECONDS
        earlier = truths.get(key)
        if earlier is not None:
            if _same(earlier[1], row["truth"]):
                double += 1
                continue
            contradicting.add(key)
        if earlier is None or told_at >= earlier[0]:
            truths[key] = told_at, row["truth"]
    columns = ["id", "index", "time", "model", "version", "package", "role", "output"]
    table = predictions.select([*columns, *(set(predictions.column_names) - set(FACTS.names))]).to_pandas()
    keys = list(zip(table["id"], table["index"], strict=True))
    has_truth = [key in truths for key in keys]
    chosen = table.loc[np.array(has_truth, bool)].reset_index(drop=True)
    found = [truths[key] for key, there in zip(keys, has_truth, strict=True) if there]
    chosen["output"] = [json.loads(text) for text in chosen["output"]]
    chosen["truth"] = pd.Series([json.loads(text) for _, text in found], dtype=object)
    chosen["told_at"] = [told for told, _ in found]
    counts = JoinCounts(len(chosen), len(table) - len(chosen), len(unknown), double, len(contradicting), late)
    return Labelled(chosen, counts)


def _same(one: str, other: str) -> bool:
    """Whether two truths, as JSON, are the same."""
    return one == other or bool(json.loads(one) == json.loads(other))
