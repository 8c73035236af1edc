"""Features of a table that tell the label, or the target, almost alone: perhaps a leak, perhaps an easy task.

Each feature by itself learns from some rows of train (a decision tree of numbers, the commonest label or the mean of
each category) and is judged on rows of validation and test.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.validation.stored_table import StoredTable, batches

ALONE = 0.98  # share of the errors of the commonest label that a feature avoids, from which it is named
ALONE_R2 = 0.98  # share of the variance of the target, or of its ranks, that a feature explains, from which it is named
_MIN_RANKS = 0.8  # share of the variance of the ranks without which that of the target says nothing
SHOWN = 10  # features that are named
_TRAIN_ROWS, _HELD_OUT_ROWS = 20_000, 10_000
_MIN_TRAIN, _MIN_HELD_OUT, _MIN_ERRORS = 50, 50, 20
_LABEL_CELLS = 2_000_000  # rows of train times labels: a tree's time grows with both
_LEAVES = 256
_LARGEST = float(np.finfo(np.float32).max)
_BATCH_ROWS = 16_384
_READINGS = "either it is known only with the answer (a leak: leave it out), or the task is that easy"


class TellingFeature(NamedTuple):
    """A feature that almost alone tells the answer.

    Args:
        share: of the held-out rows whose label it tells; of a target, the variance that it explains, of
            the numbers or of their ranks (R²).
        commonest: share of the held-out rows that have the commonest label of train; None for a target.
        rows: held-out rows that it was judged on.
    """

    name: str
    share: float
    commonest: float | None
    rows: int

    @property
    def sentence(self) -> str:
        """In words, with both readings."""
        if self.commonest is None:
            variance = f"{self.share:.1%} of the variance of the target, or of its ranks,"
            told = f"explains {variance} on {self.rows:,} held-out rows"
        else:
            told = (
                f"tells the label of {self.share:.1%} of {self.rows:,} held-out rows "
                f"(the commonest label: {self.commonest:.1%})"
            )
        return f"the feature {self.name} alone {told}: {_READINGS}"


def examine(table: pd.DataFrame | StoredTable, described: Path, answer: str) -> list[TellingFeature]:
    """The telling features, the best first.

    Args:
        table: the sample table of the prepared data, with the splits.
        described: the file of the sample table of the raw data; a feature's column is `row.<name>`.
        answer: the column `label` of names, or `target` of numbers.
    """
    schema = pq.read_schema(described)
    names = [name for name in schema.names if name.startswith("row.")]
    if not names or answer not in schema.names:
        return []
    chosen = _choose(table)
    if (chosen["held_out"].sum() < _MIN_HELD_OUT) or ((~chosen["held_out"]).sum() < _MIN_TRAIN):
        return []
    rows = _rows(described, chosen, [answer, *names])
    held_out = rows.column("held_out").to_numpy(zero_copy_only=False)
    judge = _Labels if answer == "label" else _Target
    answers = judge(rows.column(answer), held_out)
    found = []
    for name in names if answers.is_worth_it else ():
        result = answers.judge(rows.column(name))
        if result is not None:
            found.append(TellingFeature(name.removeprefix("row."), *result))
    return sorted(found, key=lambda one: -one.share)


def sentences(found: Sequence[TellingFeature]) -> list[str]:
    """The features in words, at most `SHOWN` of them."""
    more = [f"{len(found) - SHOWN:,} more features tell the answer alone"] if len(found) > SHOWN else []
    return [*(one.sentence for one in found[:SHOWN]), *more]


def _choose(table: pd.DataFrame | StoredTable) -> pd.DataFrame:
    """Ids of some rows of train and of the other splits, drawn with a fixed seed."""
    counts = {False: 0, True: 0}
    for batch in batches(table, ["split"]):
        of_train = int((batch["split"] == "train").sum())
        counts[False] += of_train
        counts[True] += len(batch) - of_train
    rng = np.random.default_rng(0)
    most = {False: min(_TRAIN_ROWS, counts[False]), True: min(_HELD_OUT_ROWS, counts[True])}
    places = {side: np.sort(rng.choice(counts[side], most[side], replace=False)) for side in counts}
    start = {False: 0, True: 0}
    parts = []
    for batch in batches(table, ["id", "split"]):
        held_out = (batch["split"] != "train").to_numpy()
        for side, own in ((False, np.flatnonzero(~held_out)), (True, np.flatnonzero(held_out))):
            first, last = np.searchsorted(places[side], (start[side], start[side] + len(own)))
            chosen = own[places[side][first:last] - start[side]]
            parts.append(pd.DataFrame({"id": batch["id"].to_numpy()[chosen], "held_out": side}))
            start[side] += len(own)
    return pd.concat(parts, ignore_index=True)


def _rows(described: Path, chosen: pd.DataFrame, names: Sequence[str]) -> pa.Table:
    """The chosen rows with the columns `names` and `held_out`; few others are in memory at a time."""
    ids = pa.array(chosen["id"], pa.string())
    side = pa.array(chosen["held_out"], pa.bool_())
    parts = []
    with pq.ParquetFile(described) as parquet:
        for batch in parquet.iter_batches(_BATCH_ROWS, columns=["id", *names], use_threads=False):
            places = pc.index_in(batch.column("id").cast(pa.string()), value_set=ids)
            known = pa.Table.from_batches([batch]).append_column("place", places).filter(pc.is_valid(places))
            taken = known.column("place").combine_chunks()
            parts.append(known.drop_columns(["id", "place"]).append_column("held_out", side.take(taken)))
    return pa.concat_tables(parts).combine_chunks()


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """The number of each value, with one for missing ones, and how many numbers there are."""
    codes, values = pd.factorize(column.to_pandas(), use_na_sentinel=False)
    return np.asarray(codes, np.int64), len(values)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """A column of numbers, NaN where one is missing; None for another column."""
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return None
    values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy().copy()
    values[np.abs(values) > _LARGEST] = np.nan  # infinite for a tree, which counts in float32
    return values


class _Labels:
    """Labels of the chosen rows: a feature is judged by the errors of the commonest label that it avoids."""

    def __init__(self, column: pa.ChunkedArray, held_out: NDArray[np.bool_]) -> None:
        self._labels, self._count = _codes(column)
        self._held_out = held_out
        train = np.flatnonzero(~held_out)
        self._train = train[:: -(-len(train) * self._count // _LABEL_CELLS)]
        self._true = self._labels[held_out]
        commonest = int(np.bincount(self._labels[self._train], minlength=self._count).argmax())
        self._commonest = commonest
        self._base = float((self._true == commonest).mean())

    @property
    def is_worth_it(self) -> bool:
        """Whether the commonest label makes enough errors to be told from a feature."""
        return (1 - self._base) * len(self._true) >= _MIN_ERRORS

    def judge(self, column: pa.ChunkedArray) -> tuple[float, float, int] | None:
        """Share of right labels, that of the commonest, and the rows; None where the feature tells too little."""
        numbers = _numbers(column)
        guessed = self._of_categories(column) if numbers is None else self._of_numbers(numbers)
        share = float((guessed == self._true).mean())
        if 1 - share > (1 - ALONE) * (1 - self._base):
            return None
        return share, self._base, len(self._true)

    def _of_categories(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        codes, count = _codes(column)
        pairs, sizes = np.unique(codes[self._train] * self._count + self._labels[self._train], return_counts=True)
        order = np.argsort(sizes, kind="stable")  # the commonest label of a category is written last
        labels = np.full(count, self._commonest)
        labels[pairs[order] // self._count] = pairs[order] % self._count
        return labels[codes[self._held_out]]

    def _of_numbers(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        from sklearn.tree import DecisionTreeClassifier

        leaves = max(_LEAVES, 4 * self._count)
        tree = DecisionTreeClassifier(max_leaf_nodes=leaves, min_samples_leaf=2, random_state=0)
        tree.fit(numbers[self._train, None], self._labels[self._train])
        guessed: NDArray[np.int64] = tree.predict(numbers[self._held_out, None])
        return guessed


class _Target:
    """Numbers of the chosen rows: a feature is judged by the variance that it explains, of them or of their ranks.

    A few numbers that are far from all others may decide about the numbers themselves, so ranks count where they say
    more. A feature of few values may tell the numbers and not the ranks of equal ones.
    """

    def __init__(self, column: pa.ChunkedArray, held_out: NDArray[np.bool_]) -> None:
        values = column.cast(pa.float64()).to_numpy()
        self._held_out, self._train = held_out, np.flatnonzero(~held_out)
        ordered = np.sort(values[self._train])  # equal numbers have the mean of their ranks
        ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
        self._targets = np.stack([values, ranks / (2 * len(ordered))], 1)  # (rows, 2)
        self._true = self._targets[held_out]
        self._means = self._targets[self._train].mean(0)

    @property
    def is_worth_it(self) -> bool:
        """Whether the targets differ."""
        both = (self._targets[self._train], self._true)
        return bool(np.isfinite(self._targets).all() and all((part.var(0) > 0).all() for part in both))

    def judge(self, column: pa.ChunkedArray) -> tuple[float, None, int] | None:
        """The share of the variance, None, and the rows; None where the feature tells too little."""
        numbers = _numbers(column)
        guessed = self._of_categories(column) if numbers is None else self._of_numbers(numbers)
        errors = np.square(self._true - guessed).sum(0) / np.square(self._true - self._means).sum(0)
        of_values, of_ranks = (1 - errors).tolist()
        explained = max(of_ranks, of_values if of_ranks >= _MIN_RANKS else 0.0)
        return (explained, None, len(self._true)) if explained >= ALONE_R2 else None

    def _of_categories(self, column: pa.ChunkedArray) -> NDArray[np.float64]:
        codes, count = _codes(column)
        own = codes[self._train]
        sizes = np.bincount(own, minlength=count)[:, None]
        sums = np.stack([np.bincount(own, part, minlength=count) for part in self._targets[self._train].T], 1)
        means = np.where(sizes > 0, sums / np.maximum(sizes, 1), self._means)  # (categories, 2)
        found: NDArray[np.float64] = means[codes[self._held_out]]
        return found

    def _of_numbers(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        from sklearn.tree import DecisionTreeRegressor

        guessed = []
        for part in self._targets.T:  # one tree each: its splits are those of its own numbers
            tree = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=2, random_state=0)
            tree.fit(numbers[self._train, None], part[self._train])
            guessed.append(tree.predict(numbers[self._held_out, None]))
        return np.stack(guessed, 1)


def answer_of(fields: Any) -> str | None:
    """The column that is to be told from rows of features; None for a task without such rows."""
    if "row" not in fields:
        return None
    return next((name for name in ("label", "target") if name in fields), None)
