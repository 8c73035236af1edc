"""Duplicates as columns of the sample table: Great Expectations compares no rows with each other."""

from __future__ import annotations

import pandas as pd


def columns(table: pd.DataFrame, by: str = "digest") -> dict[str, pd.Series]:
    """Columns `copies`, `in_other_split`, `label_conflict` for a table with `split`, `label`.

    Args:
        by: column that is equal for equal samples.
    """
    groups = table.groupby(by, sort=False)
    return {
        "copies": groups["id"].transform("size").astype("int64"),
        "in_other_split": groups["split"].transform("nunique") > 1,
        "label_conflict": groups["label"].transform("nunique") > 1,
    }
