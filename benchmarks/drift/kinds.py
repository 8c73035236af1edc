"""Ten kinds of drift in a table of eight columns, each at three strengths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.random import Generator

NUMBERS = ("age", "income", "amount", "duration", "score")
CATEGORIES = ("city", "channel", "member")
CITIES = ("Bern", "Bonn", "Brno", "Graz", "Linz", "Lyon", "Metz", "Pisa")


class DriftKind(NamedTuple):
    """A change of the table.

    Args:
        change: (table, rng, strength, hours since the change) to the changed table.
        strengths: mild, medium, strong; the unit is the change's own.
    """

    name: str
    change: Callable[[pd.DataFrame, Generator, float, int], pd.DataFrame]
    strengths: tuple[float, float, float]


def draw(rng: Generator, rows: int, correlation: float = 0.8) -> pd.DataFrame:
    """Rows without drift."""
    first, second = rng.standard_normal((2, rows))
    shares = 1 / np.arange(1, 9)
    return pd.DataFrame({
        "age": 45 + 12 * first,
        "income": 10 + correlation * first + math.sqrt(1 - correlation**2) * second,
        "amount": rng.lognormal(3, 1, rows),
        "duration": rng.gamma(2.0, 30.0, rows),
        "score": rng.beta(4, 2, rows),
        "city": rng.choice(CITIES, rows, p=shares / shares.sum()),
        "channel": rng.choice(["web", "shop", "phone"], rows, p=[0.6, 0.3, 0.1]),
        "member": rng.choice(["yes", "no"], rows, p=[0.3, 0.7]),
    })  # fmt: skip


def _one_mean(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(age=table["age"] + 12 * strength)


def _all_means(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    moved = {"age": table["age"] + 12 * strength, "income": table["income"] + strength}
    moved |= {"amount": table["amount"] * math.exp(strength), "duration": table["duration"] + 42 * strength}
    return table.assign(**moved, score=table["score"] - 0.18 * strength)


def _spread(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(income=10 + strength * (table["income"] - 10))


def _correlation(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    fresh = draw(rng, len(table), correlation=strength)
    return table.assign(age=fresh["age"], income=fresh["income"])


def _shares(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    moved = rng.random(len(table)) < strength
    return table.assign(city=table["city"].mask(moved, "Linz"))


def _unseen(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(channel=table["channel"].mask(rng.random(len(table)) < strength, "kiosk"))


def _missing(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(duration=table["duration"].mask(rng.random(len(table)) < strength))


def _stuck(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(score=table["score"].mask(rng.random(len(table)) < strength, 0.7))


def _unit(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    wrong = rng.random(len(table)) < strength
    return table.assign(amount=table["amount"].mask(wrong, 100 * table["amount"]))


def _gradual(table: pd.DataFrame, rng: Generator, strength: float, hour: int) -> pd.DataFrame:
    return table.assign(duration=table["duration"] + 42 * min(1.0, (hour + 1) / strength))


KINDS = (
    DriftKind("mean of one column moves, standard deviations", _one_mean, (0.15, 0.4, 1.0)),
    DriftKind("means of all numbers move, standard deviations", _all_means, (0.08, 0.2, 0.6)),
    DriftKind("spread of one column grows, times", _spread, (1.12, 1.4, 2.5)),
    DriftKind("correlation of two columns falls from 0.8, to", _correlation, (0.6, 0.3, 0.0)),
    DriftKind("one of eight categories takes a share of the rows", _shares, (0.04, 0.12, 0.4)),
    DriftKind("a category that the reference lacks, share", _unseen, (0.01, 0.05, 0.25)),
    DriftKind("values missing, share", _missing, (0.01, 0.05, 0.3)),
    DriftKind("a sensor that is stuck, share", _stuck, (0.04, 0.15, 0.6)),
    DriftKind("values in a wrong unit (times 100), share", _unit, (0.01, 0.05, 0.25)),
    DriftKind("a mean that moves by one deviation within so many hours", _gradual, (96.0, 48.0, 12.0)),
)
