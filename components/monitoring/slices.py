"""Parts of labelled predictions by a column of their rows: by its values, or for numbers by their quarters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

MOST_VALUES = 20
OTHERS, MISSING = "others", "(none)"


def slices(labelled: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The parts of a table with their names, in the order of the values.

    A column of up to `MOST_VALUES` values has a part for each; of more texts, the rarest are one part; of more numbers,
    the parts are the quarters of those that are labelled. What has no value is a part of its own.
    """
    values = labelled[column]
    known = values.dropna()
    names = pd.Series(MISSING, index=labelled.index, dtype=object)
    if (
        pd.api.types.is_numeric_dtype(values)
        and not pd.api.types.is_bool_dtype(values)
        and known.nunique() > MOST_VALUES
    ):
        edges = np.unique(np.quantile(known.to_numpy(float), [0, 0.25, 0.5, 0.75, 1]))
        places = np.clip(np.searchsorted(edges, known.to_numpy(float), side="right") - 1, 0, len(edges) - 2)
        labels = [f"{edges[place]:.6g} to {edges[place + 1]:.6g}" for place in range(len(edges) - 1)]
        names[known.index] = [labels[place] for place in places]
        order = [*labels, MISSING]
    else:
        common = known.value_counts().index[:MOST_VALUES]
        names[known.index] = [str(value) if value in common else OTHERS for value in known]
        order = [
            *(str(value) for value in sorted(common, key=lambda value: (str(type(value)), value))),
            OTHERS,
            MISSING,
        ]
    for name in dict.fromkeys(order):
        members = labelled[names == name]
        if len(members):
            yield name, members
