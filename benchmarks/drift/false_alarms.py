"""Months without drift: how many alarms a monitor raises that looks every hour at all streams.

Many months run at once through the very functions that the monitor uses (ranks, counts, e-detectors), for references of
several sizes and kinds. For contrast a naive monitor: the same evidence, its windows compared with the unchanging
reference. A last setting runs `DriftMonitor` itself, with scores of whole rows and of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

from benchmarks.figure import Figure, tell
from components.drift import alternatives, conformal_ranks, e_detector
from components.drift.distances import Real
from components.drift.sequential import DriftMonitor

NAME = "drift false-alarms"
WINDOWS = 720  # in a month
RATE = 0.2  # false alarms a month, stated
BATCH = 400  # months at once


class Setting(NamedTuple):
    """Streams without drift.

    Args:
        draw: (rng, months, rows) to values (K, months, rows); NaN is missing; categories are whole numbers.
        categories: how many of them; 0 for numbers.
        rows: of a window, on average; their number varies as Poisson's, and may be 0.
        span: months that one monitor and one reference live.
        share: of all simulated months.
    """

    text: str
    draw: Callable[[Generator, int, int], Real]
    streams: int
    reference: int
    rows: int
    categories: int = 0
    span: int = 1
    share: float = 0.2


def _normal(rng: Generator, months: int, rows: int) -> Real:
    return rng.standard_normal((1, months, rows))


def _correlated(rng: Generator, months: int, rows: int) -> Real:
    common = rng.standard_normal((1, months, rows))
    return 0.95 * common + math.sqrt(1 - 0.95**2) * rng.standard_normal((5, months, rows))


def _awkward(rng: Generator, months: int, rows: int) -> Real:
    """Heavy tails, many zeros, few whole numbers, missing values."""
    values = np.stack([
        rng.standard_cauchy((months, rows)),
        rng.lognormal(0, 2, (months, rows)) * (rng.random((months, rows)) < 0.6),
        rng.integers(0, 3, (months, rows)).astype(np.float64),
        np.where(rng.random((months, rows)) < 0.3, np.nan, rng.random((months, rows))),
    ])  # fmt: skip
    return values


def _categories(rng: Generator, months: int, rows: int) -> Real:
    shares = 1 / np.arange(1, 13) ** 1.7
    edges = np.cumsum(shares / shares.sum())
    return np.searchsorted(edges[:-1], rng.random((3, months, rows))).astype(np.float64)


def _equal(rng: Generator, months: int, rows: int) -> Real:
    return np.repeat(rng.standard_normal((1, months, rows)), 8, axis=0)


SETTINGS = (
    Setting("1 normal column, 1,000 reference rows", _normal, 1, 1_000, 20),
    Setting("5 columns, correlation 0.9, 200 reference rows", _correlated, 5, 200, 10),
    Setting("4 columns: Cauchy, zeros, whole numbers, missing values; 500 rows", _awkward, 4, 500, 10),
    Setting("3 columns of 12 categories, 300 rows", _categories, 3, 300, 8, categories=12),
    Setting("8 equal columns, 100 rows, monitors that run for a year", _equal, 8, 100, 4, span=12),
)


def measure(months: int) -> list[Figure]:
    """Alarms a month, by setting and over all of them."""
    figures, alarms, simulated = [], 0, 0
    for setting in SETTINGS:
        part = max(1, round(setting.share * months / setting.span)) * setting.span
        found = simulate(setting, part, seed=1)
        figures.append(Figure(NAME, f"a month, {setting.text} ({part:,} months)", round(found / part, 4), at_most=RATE))
        tell(f"{setting.text}: {found} alarms in {part} months")
        alarms, simulated = alarms + found, simulated + part
    few = max(setting.span for setting in SETTINGS) * max(1, months // 200)
    for setting in (SETTINGS[0], SETTINGS[-1]):
        found = simulate(setting, few, seed=2, naive=True)
        figures.append(Figure(NAME, f"a month, naive monitor: {setting.text} ({few} months)", round(found / few, 4)))
    own = max(1, months // 1000)
    found = through_the_monitor(own)
    text = f"a month, DriftMonitor with 3 columns, scores of rows and embedding ({own} months)"
    figures.append(Figure(NAME, text, round(found / own, 4)))
    return [Figure(NAME, f"a month, all {simulated:,} months", round(alarms / simulated, 4), at_most=RATE), *figures]


def simulate(setting: Setting, months: int, seed: int, naive: bool = False, rate: float = RATE) -> int:
    """Alarms of all streams in so many months; an alarm of several streams in one window is one."""
    rng = np.random.default_rng([seed, setting.reference, setting.streams, months])
    monitors = math.ceil(months / setting.span)
    return sum(
        _simulate(setting, min(BATCH, monitors - at), rng, naive, rate) for at in range(0, monitors, BATCH)
    )  # fmt: skip


def _simulate(setting: Setting, monitors: int, rng: Generator, naive: bool, rate: float) -> int:
    counts, find = _references(setting, monitors, rng)
    shape = (setting.streams, monitors)
    detector = e_detector.start(shape)
    threshold = e_detector.log_threshold(setting.streams, WINDOWS, rate)
    alarms = 0
    ranks_of = conformal_ranks.ranks_of_categories if setting.categories else conformal_ranks.ranks_of_cells
    for window, rows in enumerate(rng.poisson(setting.rows, WINDOWS * setting.span), start=1):
        if not rows:
            continue
        cells = find(setting.draw(rng, monitors, int(rows)))
        if naive:  # each row against the reference alone
            ranks = np.concatenate(
                [ranks_of(cells[..., at : at + 1], counts, rng.random((*shape, 1)))[0] for at in range(rows)], axis=-1
            )
        else:
            ranks, counts = ranks_of(cells, counts, rng.random(cells.shape))
        detector, evidence = e_detector.advance(detector, alternatives.cell_counts(ranks), window)
        alarmed = evidence >= threshold
        alarms += int(alarmed.any(axis=0).sum())
        detector = e_detector.restart(detector, alarmed)
    return alarms


def _references(setting: Setting, monitors: int, rng: Generator) -> tuple[Real, Callable[[Real], np.ndarray]]:
    """Counts of the cells of each reference, and what finds the cells of rows."""
    reference = setting.draw(rng, monitors, setting.reference)
    if setting.categories:
        cells = reference.astype(np.int64)
        return conformal_ranks.histogram(cells, setting.categories), lambda values: values.astype(np.int64)
    numbers = conformal_ranks.ordered(reference)
    cuts, ties, counts = conformal_ranks.make_grid(numbers, rng.random(numbers.shape))
    return counts, lambda values: conformal_ranks.find_cells(
        conformal_ranks.ordered(values), rng.random(values.shape), cuts, ties
    )


def through_the_monitor(months: int) -> int:
    """Alarms of `DriftMonitor` in so many months, each with a reference of its own."""
    alarms = 0
    for month in range(months):
        rng = np.random.default_rng([3, month])
        table, embedding = _table(rng, 400)
        monitor = DriftMonitor.start(
            table, false_alarms_per_month=RATE, windows_per_month=WINDOWS, embedding=embedding, seed=month
        )
        for hour in range(WINDOWS):
            table, embedding = _table(rng, int(rng.poisson(12)))
            monitor, alarm = monitor.update(table, name=str(hour), embedding=embedding)
            alarms += alarm is not None
    return alarms


def _table(rng: Generator, rows: int) -> tuple[pd.DataFrame, Real]:
    hidden = rng.standard_normal((rows, 3))
    embedding = hidden @ np.random.default_rng(0).standard_normal((3, 8)) + 0.3 * rng.standard_normal((rows, 8))
    table = pd.DataFrame({
        "amount": np.exp(hidden[:, 0]),
        "age": (40 + 10 * hidden[:, 0] + 5 * hidden[:, 1]).round(),
        "label": np.where(hidden[:, 2] > 0.5, "yes", "no"),
    })  # fmt: skip
    return table, embedding
