"""Duplicates as columns of the sample table: Great Expectations compares no rows with each other."""

from __future__ import annotations

import numpy as np
import pandas as pd


def columns(table: pd.DataFrame, by: str = "digest") -> dict[str, pd.Series]:
    """Columns `copies`, `in_other_split`, `label_conflict` for a table with `split`, `label`.

    Args:
        by: column that is equal for equal samples.
    """
    numbers, names = pd.factorize(table[by])
    copies = np.bincount(numbers, minlength=len(names))[numbers]
    repeated = copies > 1
    groups = table[repeated].groupby(numbers[repeated], sort=False)
    several = {}
    for name, column in (("in_other_split", "split"), ("label_conflict", "label")):
        found = np.zeros(len(table), bool)
        found[repeated] = groups[column].transform("nunique").to_numpy() > 1
        several[name] = pd.Series(found, table.index)
    return {"copies": pd.Series(copies, table.index, "int64"), **several}
