"""From samples of unequal lengths to one padded batch with its lengths. Training and serving share this code.

Legend: N samples, T largest length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.contracts.array_spec import ArraySpec, lengths

Arrays = dict[str, NDArray[Any]]


def collate(specs: Sequence[ArraySpec], samples: Sequence[Arrays], names: Sequence[str] | None = None) -> Arrays:
    """Arrays of a batch (at least one sample), by name; ragged arrays are padded, with `<name>_lengths` int64 (N,).

    Args:
        names: names of the arrays; default: all arrays of the first sample.
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
    """Arrays of one shape, stacked to (N, *shape); a single array is not copied."""
    return parts[0][None] if len(parts) == 1 else np.stack(parts)


def padded(
    values: NDArray[Any], offsets: NDArray[np.int64], index: NDArray[np.int64], pad: int
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Samples of a ragged array, padded to (N, T, ...), and their lengths int64 (N,); without a loop over samples.

    T is at least 1, also for a batch of empty samples.

    Args:
        values, offsets: of all samples: values one after the other, offsets (samples + 1,).
        index: numbers of the samples (N,).
    """
    begins = offsets[index]  # (N,)
    counts = offsets[index + 1] - begins  # (N,)
    max_length = max(int(counts.max(initial=0)), 1)
    result = np.full((len(index), max_length, *values.shape[1:]), pad, values.dtype)
    inside = np.arange(max_length) < counts[:, None]  # (N, T)
    places = (begins[:, None] + np.arange(max_length))[inside]  # (sum of counts,)
    result[inside] = values[places]
    return result, counts
