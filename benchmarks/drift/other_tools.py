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
    """Univariate drift by default; and, in columns that begin with +, what its other calculators say by default.

    The fitted calculators' own methods are called, window by window, as `calculate` takes many times as long.
    """
    import nannyml as nml

    names, size = list(reference.columns), int((windows["window"] == 0).sum())
    univariate = nml.UnivariateDriftCalculator(column_names=names, chunk_size=size).fit(reference)
    methods = {name: univariate._column_to_models_mapping[name][0] for name in names}
    multivariate = nml.DataReconstructionDriftCalculator(column_names=names, chunk_size=size).fit(reference)
    errors = _reconstruction_errors(multivariate, windows[names])
    known = {name: set(reference[name]) for name in names if not pd.api.types.is_numeric_dtype(reference[name])}
    found = []
    for number, window in windows.groupby("window", sort=True):
        scores = {name: methods[name].calculate(window[name]) for name in names}
        alert = any(scores[name] > methods[name].upper_threshold_value for name in names)
        others = {"+reconstruction": errors[windows["window"].to_numpy() == number].mean()}
        others |= {f"+missing {name}": window[name].isna().mean() for name in names}
        others |= {f"+unseen {name}": (~window[name].isin(values)).mean() for name, values in known.items()}
        found.append({"window": number, "alert": alert, **scores, **others})
    return pd.DataFrame(found)


def _reconstruction_errors(calculator: Any, rows: pd.DataFrame) -> np.ndarray:
    """The calculator's error of each row; a window's figure is their mean."""
    rows = rows.copy()
    texts, numbers = calculator.categorical_column_names, calculator.continuous_column_names
    rows[texts] = calculator._imputer_categorical.transform(rows[texts])
    rows[numbers] = calculator._imputer_continuous.transform(rows[numbers])
    scaled = calculator._scaler.transform(calculator._encoder.transform(rows[calculator.column_names]).to_numpy())
    restored = calculator._pca.inverse_transform(calculator._pca.transform(scaled))
    errors: np.ndarray = np.linalg.norm(scaled - restored, axis=1)
    return errors


def check_nannyml(reference: pd.DataFrame, windows: pd.DataFrame, scores: pd.DataFrame) -> None:
    """The scores are those of its calculators, on some windows."""
    import nannyml as nml

    names, size = list(reference.columns), int((windows["window"] == 0).sum())
    texts = [name for name in names if not pd.api.types.is_numeric_dtype(reference[name])]
    last = int(windows["window"].max())
    rows = windows[windows["window"].isin([0, 1, last])].drop(columns="window").reset_index(drop=True)
    chosen = scores.iloc[[0, 1, last]]

    def figures(calculator: Any) -> pd.DataFrame:
        return calculator.fit(reference).calculate(rows).filter(period="analysis").to_df()

    univariate = figures(nml.UnivariateDriftCalculator(column_names=names, chunk_size=size))
    for name in names:
        assert np.allclose(univariate[name, "jensen_shannon", "value"], chosen[name]), name
    alerts = np.any([univariate[name, "jensen_shannon", "alert"].to_numpy(bool) for name in names], axis=0)
    assert (alerts == chosen["alert"]).all()
    errors = figures(nml.DataReconstructionDriftCalculator(column_names=names, chunk_size=size))
    assert np.allclose(errors["reconstruction_error", "value"], chosen["+reconstruction"])
    missing = figures(nml.MissingValuesCalculator(column_names=names, chunk_size=size))
    assert all(np.allclose(missing[name, "value"], chosen[f"+missing {name}"]) for name in names)
    unseen = figures(nml.UnseenValuesCalculator(column_names=texts, chunk_size=size))
    assert all(np.allclose(unseen[name, "value"], chosen[f"+unseen {name}"]) for name in texts)


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
        check_nannyml(reference, windows, scores)
    scores.to_parquet(folder / f"{tool}.parquet", index=False)


if __name__ == "__main__":
    main()
