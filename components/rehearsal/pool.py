"""The rows that a rehearsal draws its traffic from: real inputs, and the package's own answers to them.

Of a dataset: the samples of the validation and the test split, which the model did not learn from. Of a prediction log:
its sealed answers. A scenario with a broken sensor adds, for each row, the row of the damaged input.

A monitor's reference is drawn from the same rows. So traffic without drift is exchangeable with the reference, as the
stated rate of false alarms supposes; two finite splits of a dataset are not, for months of draws from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.contracts.rehearsal_scenario import ScenarioSpec
from components.contracts.row_expectations import RowSuite
from components.core import atomic
from components.core.errors import UsageError
from components.identity import digest
from components.identity import manifest as manifests
from components.inference.predictor import Predictor
from components.inference.row_judge import RowJudge
from components.monitoring import reference
from components.monitoring.output_columns import LABEL
from components.monitoring.reference import EMBEDDING, MOST_ROWS, ROWS, TRUTH, Alter
from components.rehearsal import damage

LEAST_ROWS = 100
SPLITS = ("validation", "test")
NEW_LABEL = "(new class)"


class Pool(NamedTuple):
    """Rows to draw from.

    Args:
        rows: columns of inputs and outputs, (N,).
        truth: of each row as a text, (N,); None where it is not known.
        right: whether the answer is right: 1, 0, or NaN where that cannot be said, (N,).
        answered: whether the service answers such an input, (N,).
        missed: whether the row misses an expectation of the training data, (N,).
        embedding: (N, D); None where the package gives none.
        clean: rows that are as they were; row i + clean is what row i becomes by the scenario.
        reference_rows: of the monitor's reference.
    """

    rows: pd.DataFrame
    truth: NDArray[np.object_]
    right: NDArray[np.float64]
    answered: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    embedding: NDArray[np.float32] | None
    clean: int
    reference_rows: int

    @property
    def is_scored(self) -> bool:
        """Whether answers are right or wrong, and it is known of these."""
        return bool(np.isfinite(self.right[: self.clean]).all())

    @property
    def has_labels(self) -> bool:
        """Whether it is known of some answers that they are right or wrong."""
        return bool(np.isfinite(self.right).any())

    @property
    def accuracy(self) -> float | None:
        """Of the answers to the rows that are as they were."""
        return float(self.right[: self.clean].mean()) if self.is_scored else None

    @property
    def labels(self) -> list[str]:
        """The names of the labels."""
        return sorted({str(one) for one in self.truth[: self.clean] if one is not None})


def of_table(
    table: pd.DataFrame, embedding: NDArray[np.float32] | None, suite: RowSuite | None, reference_rows: int
) -> Pool:
    """The pool of rows with their truths, all as they were.

    Args:
        table: columns of inputs and outputs, and the truth, if there is one.
        suite: the expectations that one row can miss.

    Raises:
        UsageError: too few rows.
    """
    if len(table) < LEAST_ROWS:
        raise UsageError(
            "there are too few rows to draw traffic from",
            got=len(table),
            expected=f"at least {LEAST_ROWS}",
            next_step="rehearse on the dataset (--from DATASET), or wait for more answers",
        )
    told = table[TRUTH] if TRUTH in table else pd.Series([None] * len(table), dtype=object)
    truth = np.array(
        [None if value is None or value is pd.NA or value != value else str(value) for value in told], object
    )
    rows = _plain(table.drop(columns=[TRUTH], errors="ignore"))
    right = np.full(len(rows), np.nan)
    if LABEL in rows:
        known = np.array([one is not None for one in truth]) & rows[LABEL].notna().to_numpy()
        right[known] = (rows[LABEL].to_numpy(object)[known] == truth[known]).astype(float)
    answered = rows[[name for name in rows if name.startswith(("prepared.", "output."))]].notna().any(axis=1).to_numpy()
    return Pool(rows, truth, right, answered, _missed(suite, rows), embedding, len(rows), reference_rows)


def damaged(pool: Pool, table: pd.DataFrame, embedding: NDArray[np.float32] | None, suite: RowSuite | None) -> Pool:
    """The pool with a damaged copy of each row; `table` has their inputs and answers."""
    copies = of_table(table, embedding, suite, pool.reference_rows)
    right = np.where(np.isfinite(pool.right) & ~np.isfinite(copies.right), 0.0, copies.right)
    return _joined(pool, copies._replace(right=right, truth=pool.truth))


def renamed(pool: Pool) -> Pool:
    """The pool with a copy of each row whose truth is a label that the model does not have."""
    return _joined(
        pool, pool._replace(truth=np.full(len(pool.rows), NEW_LABEL, object), right=np.zeros(len(pool.rows)))
    )


def _joined(pool: Pool, copies: Pool) -> Pool:
    both = pool.embedding is not None and copies.embedding is not None
    return Pool(
        rows=_plain(pd.concat([pool.rows, copies.rows.reindex(columns=pool.rows.columns)], ignore_index=True)),
        truth=np.concatenate([pool.truth, copies.truth]),
        right=np.concatenate([pool.right, copies.right]),
        answered=np.concatenate([pool.answered, copies.answered]),
        missed=np.concatenate([pool.missed, copies.missed]),
        embedding=np.concatenate([pool.embedding, copies.embedding]) if both else None,
        clean=pool.clean,
        reference_rows=pool.reference_rows,
    )


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Texts as Python's objects, which are faster to take rows of."""
    texts = {name: object for name in table.columns if pd.api.types.is_string_dtype(table[name].dtype)}
    plain = table.astype(texts)
    for name in texts:
        plain[name] = plain[name].where(plain[name].notna(), None)
    return plain


def _missed(suite: RowSuite | None, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """As `window_suite.missed_share` counts them."""
    found = np.zeros(len(rows), bool)
    usable = () if suite is None else tuple(one for one in suite.expectations if set(one.columns) <= set(rows.columns))
    if usable:
        columns = {name: rows[name].tolist() for one in usable for name in one.columns}
        places = [one.sample for one in RowJudge(RowSuite(expectations=usable)).judge(columns, len(rows))]
        found[places] = True
    return found


class DatasetRows(NamedTuple):
    """Rows of a dataset's splits with the answers of a package, made once and kept.

    Args:
        cache: folder of rows that were made before.
    """

    predictor: Predictor
    dataset: Path
    cache: Path
    model: str

    def table(self, scenario: ScenarioSpec | None = None) -> tuple[pd.DataFrame, NDArray[np.float32] | None, int]:
        """Rows, embeddings, and the number of rows of a reference.

        Args:
            scenario: with a broken sensor; None: the samples as they are.
        """
        package = self.predictor.package
        reference.check_data(package, self.dataset, self.model)
        fault = None if scenario is None else [scenario.fault, scenario.column]
        identity = digest.of_value([package.digest, package.facts.data_digest, fault, reference.FORMAT])
        target = self.cache / identity[:16]
        if not (target / manifests.FILE_NAME).is_file():
            alter = None if scenario is None else damage.of_fault(self.predictor, scenario.fault, scenario.column)
            with atomic.folder(target) as fresh:
                sizes = self._answer(fresh, alter)
                facts = {"package_digest": package.digest, "data_digest": package.facts.data_digest, "rows": sizes}
                manifests.seal(fresh, "reference", facts)
        manifest = manifests.verify(target, "reference")
        path = target / EMBEDDING
        embedding = np.load(path, allow_pickle=False) if path.is_file() else None
        return pq.read_table(target / ROWS).to_pandas(), embedding, int(manifest.facts["rows"][0])

    def _answer(self, fresh: Path, alter: Alter | None) -> list[int]:
        tables, vectors = [], []
        for split in SPLITS:
            what = f"{split} of {self.model}" if alter is None else f"{split} of {self.model} with a broken sensor"
            table, embedding = reference.rows_of_split(self.predictor, self.dataset, split, MOST_ROWS, what, alter)
            tables.append(table)
            vectors.append(embedding)
        whole = pd.concat(tables, ignore_index=True)
        pq.write_table(pa.Table.from_pandas(whole, preserve_index=False), fresh / ROWS, compression="zstd")
        known = [one for one in vectors if one is not None]
        if len(known) == len(SPLITS):
            np.save(fresh / EMBEDDING, np.concatenate(known), allow_pickle=False)
        return [len(table) for table in tables]


def take(pool: Pool, places: NDArray[np.int64], labels: NDArray[Any] | None) -> pd.DataFrame:
    """Rows of the pool, with the labels of another model's answers where they are given."""
    rows = pool.rows.take(places)
    rows.index = pd.RangeIndex(len(places))
    if labels is not None and LABEL in rows:
        rows[LABEL] = pd.Series(labels[places], dtype=object)
    return rows
