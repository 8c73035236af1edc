"""One public dataset: how its files are written, and the figure that a pipeline on it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.public_sets.origin import Origin

Write = Callable[[Origin, Path], Path]  # into an empty folder; returns what `modelyard new --from` gets


class PublicSet(NamedTuple):
    """A dataset.

    Args:
        write: writes the files as people have them.
        metric: of metrics.json.
        reference: the figure to compare with; None: the best of the baselines that the evaluation measures on the same
            split (scikit-learn's linear model and gradient boosting for tables, the last value and the last season
            for forecasts).
        source: of the reference.
        options: what `new` has to be told, such as the label of files without a header.
        stops_at: words of the expectation that stops the untouched pipeline: the data has gaps or missing values, and
            a draft makes no defect the norm; None for data without such.
        held_out: whether the drafts' defaults were chosen without a look at this set.
    """

    name: str
    write: Write
    metric: str
    reference: float | None = None
    source: str = ""
    lower_is_better: bool = False
    options: tuple[str, ...] = ()
    held_out: bool = False
    stops_at: str | None = None
