"""Samples of unequal lengths -> one padded batch, with lengths beside it. Training and serving both pad here.

Legend: N samples, T longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec, lengths

Arrays = dict[str, NDArray[Any]]


def collate(specs: Sequence[ArraySpec], samples: Sequence[Arrays], names: Sequence[str] | None = None) -> Arrays:
    """A batch of samples (at least one), by name; ragged arrays are padded and bring `<name>_lengths`, int64 (N,).

    Args:
        names: of the arrays wanted; default: all that the first sample has.
    """
    batch: Arrays = {}
    for spec in specs:
        if spec.name not in (samples[0] if names is None else names) or spec.layout == "window":
            continue
        parts = [sample[spec.name] for sample in samples]
        if spec.layout == "fixed":
            batch[spec.name] = stacked(parts)
            continue
        offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum([len(part) for part in parts], out=offsets[1:])
        values = np.concatenate(parts) if len(parts) > 1 else parts[0]
        batch[spec.name], batch[lengths(spec.name)] = padded(values, offsets, np.arange(len(parts)), spec.pad)
    return batch


def stacked(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of one shape as (N, *shape); a single one is not copied."""
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def padded(
    values: NDArray[Any], offsets: NDArray[np.int64], index: NDArray[np.int64], pad: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows of a ragged array (values of all, offsets (samples + 1,)) as (N, T, ...) and their lengths int64 (N,).

    Without a loop over samples. T is at least 1, so that a batch of empty samples is still a batch.
    """
    begins = offsets[index]  # (N,)
    counts = offsets[index + 1] - begins  # (N,)
    max_length = max(int(counts.max(initial=0)), 1)
    result = np.full((len(index), max_length, *values.shape[1:]), pad, values.dtype)
    inside = np.arange(max_length) < counts[:, None]  # (N, T)
    places = (begins[:, None] + np.arange(max_length))[inside]  # (sum of counts,)
    result[inside] = values[places]
    return result, counts
