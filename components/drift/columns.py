"""Compare a window of rows with the reference, a column at a time.

Each p-value is of one look at one column. Looks that are repeated are `components.drift.sequential`'s: p-values of
windows against one reference are dependent, and their evidence may not be accumulated.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from components.drift import column_kinds, distances
from components.drift.distances import Real

LEAST_EXPECTED = 5.0  # counts in a cell of the chi-square test (Cochran 1954, Biometrics 10:417-451)

ComparedKind = Literal["number", "category", "other", "only_reference", "only_window"]


class ColumnDrift(NamedTuple):
    """How a column of the window differs from the reference's.

    Args:
        kind: `other` is not compared (free text, identifiers, lists, no value at all), nor are `only_reference` and
            `only_window`, columns that one table lacks: their figures are NaN.
        test: `ks` (Kolmogorov and Smirnov) of numbers, `chi2` of categories, `none`.
        p_value: of one look; where numbers are missing, twice the smaller of this test's and of Fisher's exact test of
            the missing shares.
        psi: over deciles of the reference, or categories; missing values are a bin of their own.
        jensen_shannon: distance over the same bins, 0 to 1.
        wasserstein: of numbers, in standard deviations of the reference; None of categories, and where the reference is
            constant.
        missing_reference, missing_window: shares of the rows.
    """

    column: str
    kind: ComparedKind
    test: Literal["ks", "chi2", "none"]
    p_value: float
    psi: float
    jensen_shannon: float
    wasserstein: float | None
    missing_reference: float
    missing_window: float
    reference_rows: int
    window_rows: int


def compare(reference: pd.DataFrame, window: pd.DataFrame) -> list[ColumnDrift]:
    """An entry for each column of either table, the reference's in their order first."""
    shared = [column for column in reference.columns if column in window.columns]
    found = {column: _compare_column(str(column), reference[column], window[column]) for column in shared}
    entries = [
        found.get(column) or _alone(str(column), "only_reference", reference[column], len(reference), len(window))
        for column in reference.columns
    ]
    extra = [column for column in window.columns if column not in reference.columns]
    return entries + [
        _alone(str(column), "only_window", window[column], len(reference), len(window)) for column in extra
    ]


def adjusted(p_values: Iterable[float]) -> NDArray[np.float64]:
    """P-values adjusted for the number of columns; NaN stays NaN and is not counted.

    Columns adjusted to at most q are false discoveries for a share q at most, on average (Benjamini and Yekutieli 2001,
    Annals of Statistics 29:1165-1188). Their method holds for any dependence between the columns; that of Benjamini and
    Hochberg needs a positive one, which two-sided tests of correlated columns do not have in general.
    """
    values = np.asarray(list(p_values), np.float64)
    known = ~np.isnan(values)
    if known.any():
        values[known] = stats.false_discovery_control(values[known], method="by")
    return values


def _alone(column: str, kind: ComparedKind, values: pd.Series, rows: int, window_rows: int) -> ColumnDrift:
    missing = float(values.isna().mean()) if len(values) else np.nan
    shares = (missing, np.nan) if kind == "only_reference" else (np.nan, missing)
    return ColumnDrift(column, kind, "none", np.nan, np.nan, np.nan, None, *shares, rows, window_rows)


def _compare_column(name: str, reference: pd.Series, window: pd.Series) -> ColumnDrift:
    kind = column_kinds.kind_of(reference)
    sizes = (len(reference), len(window))
    if kind == "number" and len(window):
        first, second = column_kinds.numbers(reference), column_kinds.numbers(window)
        return _compare_numbers(name, first, second)
    if kind == "category" and len(window):
        return _compare_categories(name, column_kinds.categories(reference), column_kinds.categories(window))
    shares = [float(values.isna().mean()) if len(values) else np.nan for values in (reference, window)]
    return ColumnDrift(name, kind, "none", np.nan, np.nan, np.nan, None, shares[0], shares[1], *sizes)


def _compare_numbers(name: str, reference: Real, window: Real) -> ColumnDrift:
    absent, absent_now = np.isnan(reference), np.isnan(window)
    present, present_now = reference[~absent], window[~absent_now]
    p_values = []
    if len(present_now):
        p_values.append(float(stats.ks_2samp(present, present_now).pvalue))
    if absent.any() or absent_now.any():
        table = [[absent.sum(), (~absent).sum()], [absent_now.sum(), (~absent_now).sum()]]
        p_values.append(float(stats.fisher_exact(table).pvalue))
    edges = distances.bin_edges(present)
    counts, counts_now = distances.bin_counts(reference, edges), distances.bin_counts(window, edges)
    return ColumnDrift(
        column=name,
        kind="number",
        test="ks",
        p_value=min(1.0, len(p_values) * min(p_values)),
        psi=distances.psi(counts, counts_now),
        jensen_shannon=distances.jensen_shannon(counts, counts_now),
        wasserstein=distances.wasserstein(present, present_now),
        missing_reference=float(absent.mean()),
        missing_window=float(absent_now.mean()),
        reference_rows=len(reference),
        window_rows=len(window),
    )


def _compare_categories(name: str, reference: list[str], window: list[str]) -> ColumnDrift:
    names = sorted({*reference, *window})
    counts = np.array([pd.Series(values).value_counts().reindex(names, fill_value=0) for values in (reference, window)])
    missing = names.index(column_kinds.MISSING) if column_kinds.MISSING in names else None
    shares = [float(row[missing] / row.sum()) if missing is not None else 0.0 for row in counts]
    table = counts.astype(np.float64)
    return ColumnDrift(
        column=name,
        kind="category",
        test="chi2",
        p_value=_chi_square(table),
        psi=distances.psi(table[0], table[1]),
        jensen_shannon=distances.jensen_shannon(table[0], table[1]),
        wasserstein=None,
        missing_reference=shares[0],
        missing_window=shares[1],
        reference_rows=len(reference),
        window_rows=len(window),
    )


def _chi_square(table: Real) -> float:
    """The p-value of homogeneity of a (2, K) table; categories of small expected counts are one category."""
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    rare = expected < LEAST_EXPECTED
    pooled = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table
    if pooled.shape[1] < 2:
        return 1.0
    if pooled.shape[1] == 2:
        return float(stats.fisher_exact(pooled).pvalue)
    return float(stats.chi2_contingency(pooled).pvalue)
