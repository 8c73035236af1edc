"""Samples that are far from all others, by their local outlier factor (Breunig et al., LOF, SIGMOD 2000)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 20
FACTOR = 2.0  # twice as far from its neighbours as these are from theirs
DIMENSIONS = 32
_REFERENCE = 10_000  # samples that the others are compared with


def factors(values: Any) -> NDArray[np.float64]:
    """The factor (N,) of each sample, about 1 among its like; features (N, F) dense or sparse.

    Features are reduced to `DIMENSIONS` by their singular values. Of more than 10,000 samples, a drawn part is the
    reference for all.
    """
    from scipy import sparse
    from sklearn.decomposition import TruncatedSVD
    from sklearn.neighbors import LocalOutlierFactor
    from sklearn.preprocessing import StandardScaler, normalize

    count = values.shape[0]
    if count <= NEIGHBOURS:
        return np.ones(count)
    points = values if sparse.issparse(values) else StandardScaler().fit_transform(values)
    if points.shape[1] > DIMENSIONS:
        points = TruncatedSVD(DIMENSIONS, random_state=0).fit_transform(points)
    elif sparse.issparse(points):
        points = points.toarray()
    points = normalize(points) if sparse.issparse(values) else np.asarray(points)
    # Copies would make all distances among them 0, and their neighbours infinitely far.
    distinct, inverse = np.unique(np.round(points, 9), axis=0, return_inverse=True)
    if len(distinct) <= NEIGHBOURS:
        return np.ones(count)
    rng = np.random.default_rng(0)
    reference = (
        distinct
        if len(distinct) <= _REFERENCE
        else distinct[np.sort(rng.choice(len(distinct), _REFERENCE, replace=False))]
    )
    model = LocalOutlierFactor(NEIGHBOURS, algorithm="brute", novelty=True).fit(reference)
    found = -model.score_samples(distinct) if len(distinct) > _REFERENCE else -model.negative_outlier_factor_
    return np.asarray(found)[inverse.reshape(-1)]
