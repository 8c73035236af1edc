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


class Truth(NamedTuple):
    """What was told of a prediction.

    Args:
        text: the truth that counts, as JSON: of several the one that was found out last (`at`, else its arrival).
        told_at: when it was found out, seconds since 1970.
        first_arrived: when the first of them arrived.
        double: how often a truth was repeated.
        contradicting: whether different ones were told.
        late: how many came more than `LATE_SECONDS` after the prediction.
    """

    text: str
    told_at: float
    first_arrived: float
    double: int = 0
    contradicting: bool = False
    late: int = 0


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
    settled = settle(feedback)
    known = set(zip(predictions["id"].to_pylist(), predictions["index"].to_pylist(), strict=True))
    truths = {key: truth for key, truth in settled.items() if key in known}
    columns = ["id", "index", "time", "model", "version", "package", "role", "output"]
    table = predictions.select([*columns, *(set(predictions.column_names) - set(FACTS.names))]).to_pandas()
    keys = list(zip(table["id"], table["index"], strict=True))
    has_truth = [key in truths for key in keys]
    chosen = table.loc[np.array(has_truth, bool)].reset_index(drop=True)
    found = [truths[key] for key, there in zip(keys, has_truth, strict=True) if there]
    chosen["output"] = [json.loads(text) for text in chosen["output"]]
    chosen["truth"] = pd.Series([json.loads(one.text) for one in found], dtype=object)
    chosen["told_at"] = [one.told_at for one in found]
    counts = JoinCounts(
        len(chosen),
        len(table) - len(chosen),
        len(settled) - len(truths),
        sum(one.double for one in truths.values()),
        sum(one.contradicting for one in truths.values()),
        sum(one.late for one in truths.values()),
    )
    return Labelled(chosen, counts)


def settle(feedback: Iterable[dict[str, Any]]) -> dict[tuple[str, int], Truth]:
    """The truth of each prediction, by id and index, whatever the order of the rows.

    Args:
        feedback: rows of `log_reader.FEEDBACK_SCHEMA`.
    """
    found: dict[tuple[str, int], Truth] = {}
    for told_at, arrived, row in sorted(map(_when, feedback), key=lambda one: one[:2]):
        key = str(row["id"]), int(row["index"] or 0)
        late = told_at - answered_at(key[0]) > LATE_SECONDS
        earlier = found.get(key)
        if earlier is None:
            found[key] = Truth(row["truth"], told_at, arrived, late=int(late))
            continue
        is_same = _same(earlier.text, row["truth"])
        found[key] = Truth(
            earlier.text if is_same else row["truth"],
            told_at,
            min(arrived, earlier.first_arrived),
            earlier.double + is_same,
            earlier.contradicting or not is_same,
            earlier.late + late,
        )
    return found


def _when(row: dict[str, Any]) -> tuple[float, float, dict[str, Any]]:
    """When a truth was found out, when it arrived, and its row."""
    arrived = float(row["arrived"])
    return (arrived if row["at"] is None else float(row["at"])), arrived, row


def _same(one: str, other: str) -> bool:
    """Whether two truths, as JSON, are the same."""
    return one == other or bool(json.loads(one) == json.loads(other))
