"""A window of the log against the expectations of the training data, by Great Expectations, with its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from components.contracts.dataset import DatasetSpec
from components.contracts.row_expectations import RowSuite
from components.inference.row_judge import RowJudge
from components.monitoring.output_columns import LABEL
from components.tasks.task import Task
from components.validation import report
from components.validation.outcome import ExpectationSpec
from components.validation.suite import Suite
from components.validation.verdict import Verdict

MOST_ROWS = 100_000  # spread evenly over the window
PARTS: tuple[Literal["raw", "prepared"], ...] = ("raw", "prepared")
# About the order and the copies of a dataset's samples, of which requests have neither.
_OF_DATASETS = ("to_be_unique", "to_be_increasing", "to_be_decreasing")


class PartVerdict(NamedTuple):
    """One part of the expectations on a window.

    Args:
        left_out: expectations on columns that the log has not, or on the dataset as a whole.
        page: the report.
    """

    verdict: Verdict
    left_out: int
    page: str


def judge(
    document: Mapping[str, Any], rows: pd.DataFrame, spec: DatasetSpec, task: Task, window: str, identity: str
) -> dict[str, PartVerdict]:
    """The verdicts by part, of the parts that have an expectation on a column of the log.

    Args:
        document: expectations.json.
        rows: the window's, with columns `raw.`, `prepared.`; `id` and `index`.
        identity: digest of the window.
    """
    found: dict[str, PartVerdict] = {}
    if len(rows) > MOST_ROWS:
        rows = rows.iloc[:: -(-len(rows) // MOST_ROWS)]
    for part in PARTS:
        own = {name: name[len(part) + 1 :] for name in rows.columns if name.startswith(f"{part}.")}
        table = rows[list(own)].rename(columns=own).dropna(how="all")
        known = set(table.columns) - set(getattr(task, "target_columns", ()))
        expectations = [ExpectationSpec.model_validate(one) for one in document.get(part, ())]
        kept = [one for one in expectations if _fits(one, known)]
        if not kept or table.empty:
            continue
        places = rows.loc[table.index]
        table.insert(0, "id", places["id"].astype(str) + "/" + places["index"].astype(str))
        verdict = Suite(part, kept).judge(table.reset_index(drop=True), identity)
        label = places.get(LABEL, "")
        counts = report.counts(pd.DataFrame({"label": label, "split": window}, index=places.index).fillna(""))
        page = report.render(spec, verdict, counts, {})
        found[part] = PartVerdict(verdict, len(expectations) - len(kept), page)
    return found


def _fits(one: ExpectationSpec, known: set[str]) -> bool:
    named = one.named_columns()
    return bool(named) and set(named) <= known and not one.type.endswith(_OF_DATASETS)


def missed_share(suite: RowSuite | None, rows: pd.DataFrame) -> float | None:
    """The share of rows that miss an expectation that one row can miss; None without such expectations or rows."""
    if suite is None or not suite.expectations or rows.empty:
        return None
    present = set(rows.columns)
    usable = tuple(one for one in suite.expectations if set(one.columns) <= present)
    described = rows.dropna(how="all", subset=[name for name in rows.columns if name.startswith(("raw.", "prepared."))])
    if not usable or described.empty:
        return None
    columns = {name: described[name].tolist() for one in usable for name in one.columns}
    missed = RowJudge(RowSuite(expectations=usable)).judge(columns, len(described))
    return len({one.sample for one in missed}) / len(described)


def read(dataset: Path) -> dict[str, Any]:
    """expectations.json of a dataset; {} without."""
    path = dataset / "expectations.json"
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found
