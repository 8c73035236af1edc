"""What scikit-learn's models answer on the arrays of a table: a linear model, and gradient boosting.

They are fitted on the prepared train split with scikit-learn's defaults. Legend: N samples, F numbers, G categories.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import TableInput
from components.evaluation.test_split import FrozenSplit

MOST_CELLS = 2_000_000  # rows x columns of train: about half a minute on two cores (Adult, 0.5 million: 7 s)
_MOST_BINS = 255  # categories of a column that gradient boosting takes as such
_LINEAR_COLUMNS = 5000  # columns of the linear model, a column a category
NAMES = ("a linear model (scikit-learn)", "gradient boosting (scikit-learn)")

Fitted = tuple[str, NDArray[Any]]  # the name of a model, and its answers on the test split


def classes(frozen: FrozenSplit, spec: TableInput) -> list[Fitted]:
    """Class numbers (N,) of logistic regression and gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    boosting = HistGradientBoostingClassifier(categorical_features=_as_categories(spec), random_state=0)
    return _fitted(frozen, spec, "labels", LogisticRegression(max_iter=200), boosting)


def values(frozen: FrozenSplit, spec: TableInput) -> list[Fitted]:
    """Scaled numbers (N,) of ridge regression and gradient boosting."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge

    boosting = HistGradientBoostingRegressor(categorical_features=_as_categories(spec), random_state=0)
    return _fitted(frozen, spec, "target", Ridge(), boosting)


def _fitted(frozen: FrozenSplit, spec: TableInput, target: str, linear: Any, boosting: Any) -> list[Fitted]:
    """Fit on train and answer on test; [] for a train split that is too large, which is said."""
    train = frozen.other("train")
    cells = len(train) * (spec.numbers + len(spec.cardinalities))
    if cells > MOST_CELLS:
        print(
            f"{' and '.join(NAMES)} are left out as baselines: {cells:,} rows x columns, more than {MOST_CELLS:,}",
            file=sys.stderr,
        )
        return []
    truth = np.asarray(train.all(target)).reshape(len(train))
    found: list[Fitted] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that stop at their limit: the answers count as they are
        if spec.numbers + sum(spec.cardinalities) <= _LINEAR_COLUMNS:
            linear.fit(_encoded(train, spec), truth)
            found.append((NAMES[0], linear.predict(_encoded(frozen.split, spec))))
        else:
            print(f"{NAMES[0]} is left out as a baseline: too many categories", file=sys.stderr)
        boosting.fit(_joined(train, spec), truth)
        found.append((NAMES[1], boosting.predict(_joined(frozen.split, spec))))
    return found


def _as_categories(spec: TableInput) -> list[bool]:
    """Which columns of `_joined` are categories; a column of too many counts as a number."""
    return [False] * spec.numbers + [cardinality <= _MOST_BINS for cardinality in spec.cardinalities]


def _joined(split: Any, spec: TableInput) -> NDArray[np.float32]:
    """(N, F + G)."""
    parts = [split.all("numbers")] if spec.numbers else []
    parts += [split.all("categories").astype(np.float32)] if spec.cardinalities else []
    return np.concatenate(parts, axis=1)


def _encoded(split: Any, spec: TableInput) -> Any:
    """A sparse matrix (N, F + number of all categories): a column for each category."""
    from scipy import sparse

    numbers = split.all("numbers") if spec.numbers else np.zeros((len(split), 0), np.float32)
    parts = [sparse.csr_matrix(numbers)]
    if spec.cardinalities:
        offsets = np.cumsum([0, *spec.cardinalities[:-1]])
        places = (split.all("categories") + offsets).ravel()
        rows = np.repeat(np.arange(len(split)), len(offsets))
        shape = (len(split), sum(spec.cardinalities))
        parts.append(sparse.csr_matrix((np.ones(len(places), np.float32), (rows, places)), shape))
    return sparse.hstack(parts, format="csr")
