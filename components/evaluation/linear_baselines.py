"""What a linear model answers on simple features of the prepared arrays.

    tokens   occurrences of each token, weighted by tf-idf (as scikit-learn's TfidfTransformer with sublinear_tf)
    images   the levels, averaged over squares so that at most 16 x 16 are left
    series   each channel, read at 64 equally spaced times, and its mean and standard deviation

The model is a ridge regression of the classes' indicators (scikit-learn's RidgeClassifier), fitted on the train split;
of a large split, on samples at equal distances, which the name says. An import of scikit-learn would take longer than
all of it. Legend: N samples, H height, W width, C channels, T steps, V vocabulary, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from components.contracts.shapes import ImageInput, InputSpec, SeriesInput, TokensInput
from components.evaluation.test_split import FrozenSplit
from components.preprocessing import ridge
from components.preprocessing.stored import StoredSplit

SIDE, TIMES = 16, 64
MAX_SAMPLES = 5000  # of train
PENALTY = 1.0
BATCH = 1024

Real = NDArray[np.float64]


class Answers(NamedTuple):
    """The name of the model with its features, and its class numbers (N,) on the test split."""

    name: str
    classes: NDArray[np.int64]


def classes(frozen: FrozenSplit) -> Answers | None:
    """Fit on train and answer on the frozen split; None for inputs without features here, or a single class."""
    spec = frozen.processor.input_spec()
    if not isinstance(spec, TokensInput | ImageInput | SeriesInput):
        return None
    train, classes = frozen.other("train"), len(frozen.classes)
    chosen = np.linspace(0, len(train) - 1, min(len(train), MAX_SAMPLES)).round().astype(np.int64)
    truth = train.batch(chosen, ("labels",))["labels"].astype(np.int64)
    if len(np.unique(truth)) < 2:
        return None
    array = frozen.processor.inputs()[0]
    targets, known = ridge.indicators(truth, classes), _features(spec, train, array, chosen)
    pieces = [
        _features(spec, frozen.split, array, np.arange(start, min(start + BATCH, len(frozen))))
        for start in range(0, len(frozen), BATCH)
    ]
    if isinstance(spec, TokensInput):
        name = "the tokens (tf-idf)"
        scores = _of_sparse(known, targets, pieces)
    else:
        name = "the levels" if isinstance(spec, ImageInput) else f"{TIMES} times of each channel"
        fitted = ridge.fit(known, targets, PENALTY)
        scores = [fitted.predict(piece) for piece in pieces]
    of = "" if len(chosen) == len(train) else f" of {len(chosen):,} samples"
    return Answers(f"a linear model{of} on {name}", np.concatenate(scores).argmax(axis=1))


def _of_sparse(known: Any, targets: Real, pieces: Sequence[Any]) -> list[Real]:
    """Scores (n, K) of sparse rows, by the weights that the rows of train give; the last column is the intercept's."""
    from scipy import sparse
    from scipy.sparse.linalg import lsqr

    counts = np.asarray((known > 0).sum(axis=0)).ravel()  # (V,): rows with each token
    idf = np.log((1 + known.shape[0]) / (1 + counts)) + 1

    def weighted(rows: Any) -> Any:
        rows = rows.astype(np.float64)
        rows.data = 1 + np.log(rows.data)
        rows = rows.multiply(idf).tocsr()
        norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        rows = sparse.diags(1 / np.where(norms > 0, norms, 1)) @ rows
        return sparse.hstack([rows, np.ones((rows.shape[0], 1))]).tocsr()

    rows = weighted(known)
    solved = [lsqr(rows, target, damp=PENALTY**0.5, atol=1e-8, btol=1e-8)[0] for target in targets.T]
    weights = np.stack(solved, axis=1)
    return [np.asarray(weighted(piece) @ weights) for piece in pieces]


def _features(spec: InputSpec, split: StoredSplit, array: str, index: NDArray[np.int64]) -> Any:
    """The features of samples, one row each; sparse for tokens."""
    if isinstance(spec, TokensInput):
        return _token_counts(split, array, index, spec.vocabulary)
    rows = [split.batch(index[start : start + BATCH], (array,)) for start in range(0, len(index), BATCH)]
    if isinstance(spec, ImageInput):
        return np.concatenate([_averaged(batch[array]) for batch in rows])
    return np.concatenate([_read_at_times(batch[array], batch[f"{array}_lengths"]) for batch in rows])


def _token_counts(split: StoredSplit, array: str, index: NDArray[np.int64], vocabulary: int) -> Any:
    """Occurrences of each token, sparse (N, V)."""
    from scipy import sparse

    tokens = [split.sample(int(row))[array] for row in index]
    columns = np.concatenate(tokens) if tokens else np.zeros(0, np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in tokens])])
    counts = sparse.csr_matrix((np.ones(len(columns)), columns, offsets), shape=(len(tokens), vocabulary))
    counts.sum_duplicates()
    return counts


def _averaged(images: NDArray[np.uint8]) -> Real:
    """Images (N, H, W, C) as rows of mean levels of squares, at most `SIDE` x `SIDE` of them."""
    levels = images.astype(np.float64)
    for axis in (1, 2):
        size = levels.shape[axis]
        if size > SIDE:
            starts = np.linspace(0, size, SIDE, endpoint=False).astype(np.int64)
            counts = np.diff([*starts, size]).reshape([-1 if other == axis else 1 for other in range(4)])
            levels = np.add.reduceat(levels, starts, axis=axis) / counts
    return levels.reshape(len(levels), -1)


def _read_at_times(series: NDArray[np.float32], lengths: NDArray[np.int64]) -> Real:
    """Series (N, T, C) of any lengths as rows: values at `TIMES` times from first to last, means and deviations."""
    times = np.linspace(0, 1, TIMES)[None] * (np.maximum(lengths, 1) - 1)[:, None]  # (N, TIMES)
    read = np.take_along_axis(series, times.round().astype(np.int64)[..., None], axis=1)  # (N, TIMES, C)
    inside = (np.arange(series.shape[1]) < lengths[:, None])[..., None]  # (N, T, 1)
    counts = np.maximum(lengths, 1)[:, None]
    means = (series * inside).sum(axis=1) / counts  # (N, C)
    deviations = np.sqrt((((series - means[:, None]) * inside) ** 2).sum(axis=1) / counts)
    return np.concatenate([read.reshape(len(read), -1), means, deviations], axis=1).astype(np.float64)
