"""Scores of evidently or nannyml for windows of rows; runs in the benchmark's own environment, which has either.

    python other_tools.py evidently|nannyml FOLDER

Reads FOLDER/reference.parquet and FOLDER/windows.parquet (columns of the reference, and `window`: 0, 1, ...).
Writes FOLDER/TOOL.parquet: a row for each window, `alert` by the tool's default thresholds, a score for each column.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def evidently(reference: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """The drift score of each column by the default test and threshold: drift of any column is an alert."""
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    found = []
    columns: dict[str, tuple[pd.Series, Any]] = {
        name: (values, ColumnType.Numerical if pd.api.types.is_numeric_dtype(values) else ColumnType.Categorical)
        for name, values in reference.items()
    }
    for number, window in windows.groupby("window", sort=True):
        scores, alert, drifted = {}, False, 0
        for name, (values, kind) in columns.items():
            present = window[name].dropna()  # as its report does
            test = get_stattest(values, present, kind, None)
            result = test(values, present, kind, None)
            scores[name] = result.drift_score
            drifted += result.drifted
        alert = drifted > 0
        found.append({"window": number, "alert": alert, "alert_dataset": drifted >= 0.5 * len(columns), **scores})
    return pd.DataFrame(found)


def check_evidently(reference: pd.DataFrame, windows: pd.DataFrame, scores: pd.DataFrame) -> None:
    """The scores are those of its report with `DataDriftPreset`, on some windows."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    for number in (0, int(windows["window"].max())):
        window = windows[windows["window"] == number].drop(columns="window")
        result = Report([DataDriftPreset()]).run(window, reference).dict()
        row = scores[scores["window"] == number].iloc[0]
        seen = 0
        for metric in result["metrics"]:
            name = metric.get("config", {}).get("column")
            if name in reference.columns:
                seen += 1
                assert np.isclose(float(metric["value"]), float(row[name])), (name, metric["value"], row[name])
        assert seen == len(reference.columns), result["metrics"]


def nannyml(reference: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    """Univariate drift by default, and, in columns that begin with +, its other calculators by their defaults."""
    import nannyml as nml

    names, size = list(reference.columns), int((windows["window"] == 0).sum())
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(reference[name])]
    rows = windows.drop(columns="window")
    univariate = nml.UnivariateDriftCalculator(column_names=names, chunk_size=size).fit(reference)
    result = univariate.calculate(rows).filter(period="analysis").to_df()
    found = pd.DataFrame({"window": sorted(windows["window"].unique())})
    found["alert"] = np.any([result[name, "jensen_shannon", "alert"].to_numpy(bool) for name in names], axis=0)
    for name in names:
        found[name] = result[name, "jensen_shannon", "value"].to_numpy(np.float64)
    multivariate = nml.DataReconstructionDriftCalculator(column_names=names, chunk_size=size).fit(reference)
    result = multivariate.calculate(rows).filter(period="analysis").to_df()
    found["+reconstruction"] = result["reconstruction_error", "value"].to_numpy(np.float64)
    missing = nml.MissingValuesCalculator(column_names=names, chunk_size=size).fit(reference)
    result = missing.calculate(rows).filter(period="analysis").to_df()
    for name in names:
        found[f"+missing {name}"] = result[name, "value"].to_numpy(np.float64)
    unseen = nml.UnseenValuesCalculator(column_names=texts, chunk_size=size).fit(reference)
    result = unseen.calculate(rows).filter(period="analysis").to_df()
    for name in texts:
        found[f"+unseen {name}"] = result[name, "value"].to_numpy(np.float64)
    return found


def main() -> None:
    """Score all windows."""
    tool, folder = sys.argv[1], Path(sys.argv[2])
    warnings.simplefilter("ignore")
    reference, windows = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "windows"))
    texts = [name for name in reference.columns if not pd.api.types.is_numeric_dtype(reference[name])]
    for table in (reference, windows):  # both tools take texts as objects
        table[texts] = table[texts].astype(object)
    if tool == "evidently":
        scores = evidently(reference, windows)
        check_evidently(reference, windows, scores)
    else:
        scores = nannyml(reference, windows)
    scores.to_parquet(folder / f"{tool}.parquet", index=False)


if __name__ == "__main__":
    main()
