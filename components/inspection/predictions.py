"""Out-of-fold probabilities of the classes, by a light model: no trained network is needed, and none has seen its own
samples.

Dense features: standardised, a kernel map (Williams and Seeger, Using the Nystrom Method to Speed Up Kernel Machines,
NIPS 2000), logistic regression. Texts: logistic regression on weighted words.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.core.progress import Progress

FOLDS = 5
_COMPONENTS = 300  # of the kernel map


def out_of_fold(values: Any, labels: NDArray[np.int64], groups: NDArray[np.int64], label: str) -> NDArray[np.float64]:
    """Probabilities (N, K) of each sample by a model of the other folds.

    Args:
        values: (N, F) dense or sparse.
        labels: (N,) 0 to K - 1, each of at least `FOLDS` groups.
        groups: (N,) 0 to G - 1, equal for copies and near-duplicates, which stay in one fold.
        label: of the progress.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    result = np.zeros((len(labels), int(labels.max()) + 1))
    names, first = np.unique(groups, return_index=True)  # a group is drawn by the label of its first sample
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    with Progress(label, len(labels)) as progress:
        for _, chosen in folds.split(np.zeros(len(names)), labels[first]):
            is_held = np.isin(groups, names[chosen])
            train, held = np.flatnonzero(~is_held), np.flatnonzero(is_held)
            model = _model(values, len(train))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # its probabilities rank samples all the same
                model.fit(values[train], labels[train])
            result[held[:, None], model.classes_[None, :]] = model.predict_proba(values[held])
            progress.advance(len(held))
    return result


def _model(values: Any, samples: int) -> Any:
    from scipy import sparse
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if sparse.issparse(values):
        return LogisticRegression(C=5.0, max_iter=200)
    return make_pipeline(
        StandardScaler(),
        Nystroem(n_components=min(_COMPONENTS, samples), gamma=0.5 / values.shape[1], random_state=0),
        LogisticRegression(C=10.0, max_iter=100, tol=1e-3),
    )
