"""Simple features of samples, with names: what is described of them, small pictures, words, the course of a series.

Read from the prepared arrays where these hold pictures or series; texts from the raw samples, for the words' names.
Legend: n samples, F features, H height, W width, C channels, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from components.preprocessing.stored import StoredSplit

CELLS = 8  # a picture is CELLS x CELLS means of grey levels
POINTS = 16  # of a series
MAX_WORDS = 5000
MAX_CHARACTERS = 2000  # of a text
_PART = 128
_NOT_FEATURES = ("class_number", "time_seconds", "step_seconds", "error")


class Features(NamedTuple):
    """Features (n, F), dense or sparse, and their names."""

    values: Any
    names: list[str]


def of_columns(table: pd.DataFrame, columns: Sequence[str]) -> Features:
    """Numbers and truth values of a sample table; a missing value is the median."""
    names = [name for name in columns if name not in _NOT_FEATURES and _is_number(table[name])]
    numbers = table[names].astype("float64").replace([np.inf, -np.inf], np.nan)
    filled = numbers.fillna(numbers.median()).fillna(0.0)
    return Features(filled.to_numpy(), [name.replace("_", " ") for name in names])


def of_arrays(stored: StoredSplit, rows: NDArray[np.int64], cells: int = CELLS, points: int = POINTS) -> Features:
    """Small pictures, or courses of series, of rows of a prepared split; no features if it has neither.

    Args:
        cells: a picture is cells x cells means, of grey levels; for cells of more than `CELLS`, of each channel.
        points: of a series.
    """
    for spec in stored.specs:
        if spec.layout == "fixed" and spec.type == "uint8" and len(spec.shape) == 3:
            sides = min(cells, spec.shape[0]), min(cells, spec.shape[1])
            channels = spec.shape[2] if cells > CELLS else 1
            pieces = [small(stored.batch(part, (spec.name,))[spec.name], sides, channels) for part in _parts(rows)]
            names = [
                f"brightness in row {row + 1} of {sides[0]}, column {column + 1} of {sides[1]}"
                for row in range(sides[0])
                for column in range(sides[1])
                for _ in range(channels)
            ]
            return Features(np.concatenate(pieces) if pieces else np.empty((0, len(names))), names)
        if spec.type == "float32" and spec.layout == "fixed" and len(spec.shape) == 1:  # a row of numbers
            names = [f"{spec.name} {number + 1}" for number in range(spec.shape[0])]
            return Features(np.nan_to_num(stored.all(spec.name)[rows].astype(np.float64)), names)
        if spec.type == "float32" and spec.layout in ("fixed", "ragged"):
            courses = [course(stored.sample(row)[spec.name], points) for row in rows.tolist()]
            names = [f"level at {100 * point // (points - 1)} % of the time" for point in range(points)]
            return Features(np.stack(courses) if courses else np.empty((0, points)), names)
    return Features(np.empty((len(rows), 0)), [])


def small(pictures: NDArray[Any], sides: tuple[int, int], channels: int) -> NDArray[np.float64]:
    """Mean levels (n, sides[0] * sides[1] * channels) of pictures (n, H, W, C); of grey for one channel."""
    levels: NDArray[Any] = pictures.astype(np.float32)
    levels = levels if channels > 1 else levels.mean(axis=3, keepdims=True)
    for axis, cells in enumerate(sides, 1):
        edges = np.arange(cells) * levels.shape[axis] // cells
        widths = np.diff([*edges, levels.shape[axis]])
        shape = [1, 1, 1, 1]
        shape[axis] = cells
        levels = np.add.reduceat(levels, edges, axis=axis) / widths.reshape(shape)
    return levels.reshape(len(levels), -1).astype(np.float64)


def course(series: NDArray[Any], points: int = POINTS) -> NDArray[np.float64]:
    """Levels (points,) of a series (T,) or (T, C) over its time; zeros for an empty one."""
    levels = np.asarray(series, np.float64).reshape(len(series), -1).mean(axis=1) if len(series) else np.zeros(1)
    places = np.linspace(0, len(levels) - 1, points)
    return np.asarray(np.interp(places, np.arange(len(levels)), np.nan_to_num(levels)))


def of_texts(texts: Sequence[str]) -> Features:
    """Words that occur in at least three texts, weighted by TF-IDF, (n, F) sparse; runs of two characters where a text
    has no spaces."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    cut = [text[:MAX_CHARACTERS] for text in texts]
    spaced = sum(" " in text.strip() for text in cut) >= 0.5 * len(cut)
    options: dict[str, Any] = (
        {"token_pattern": r"(?u)\b\w+\b"} if spaced else {"analyzer": "char", "ngram_range": (1, 2)}
    )
    vectorizer = TfidfVectorizer(max_features=MAX_WORDS, min_df=min(3, len(cut)), sublinear_tf=True, **options)
    try:
        values = vectorizer.fit_transform(cut)
    except ValueError:  # no word is left
        return Features(np.empty((len(cut), 0)), [])
    return Features(
        values, [f"the word {word!r}" if spaced else f"{word!r}" for word in vectorizer.get_feature_names_out()]
    )


def beside(parts: Sequence[Features]) -> Features:
    """Dense features of the same samples, side by side."""
    return Features(
        np.concatenate([part.values for part in parts], axis=1), [name for part in parts for name in part.names]
    )


def below(parts: Sequence[Features]) -> Features:
    """The same dense features of several lots of samples, one below the other."""
    return Features(np.concatenate([part.values for part in parts]), parts[0].names)


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))


def _parts(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + _PART] for start in range(0, len(rows), _PART)]
